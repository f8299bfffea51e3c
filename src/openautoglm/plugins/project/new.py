"""A new project: the files of a template with the names put in, all of them or none.

Knows nothing of what the files say. A template's file `x.tmpl` becomes `x`, its folder `package`
the package, `@{name}` in a text the value of that name.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from contextlib import suppress
from importlib.resources import files
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

from openautoglm.errors import MissingExtraError, PluginProjectError
from openautoglm.plugins import peers
from openautoglm.plugins.points import POINTS
from openautoglm.plugins.project.kinds import ProjectName, kind_named
from openautoglm.plugins.project.workspace import Workspace
from openautoglm.plugins.ranges import parse_licence
from openautoglm.plugins.reading import shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from importlib.resources.abc import Traversable

    from openautoglm.plugins.project.kinds import Kind

_SUFFIX: Final = ".tmpl"
_PLACE: Final = re.compile(r"@\{(\w+)\}")
_MODE: Final = 0o755
LICENCE: Final = "Apache-2.0"
"""Of a new project where none is named: the host's own."""


def new_project(name: str, *, kind: str, into: Path, licence: str = LICENCE) -> Path:
    """Write a project that builds, tests and passes `check` as it is.

    Where `into` lies in a workspace, the project becomes a member of it.

    Args:
        name: id of the plugin, as in `acme.upper`; everything else is named after it.
        kind: one of `KINDS`.
        into: the folder in which the project's folder is made.
        licence: an SPDX expression, as in "MIT" or "LicenseRef-Proprietary".

    Returns:
        The project's folder.

    Raises:
        PluginProjectError: the name, the kind or the licence cannot be, the folder is there
            already, or it cannot be written. Nothing is left behind.
    """
    names, wanted = ProjectName.parse(name), kind_named(kind)
    _check_free(names, wanted)
    spdx = _spdx(licence)
    folder = into.absolute() / names.distribution
    workspace = Workspace.around(folder)
    if workspace is not None:
        workspace.check_new(folder, names.distribution)
    rendered = dict(_rendered(wanted, names, spdx))
    try:
        _write(folder, rendered)
        if workspace is not None:
            workspace.add(folder)
    except OSError as cause:
        raise PluginProjectError(
            "the project cannot be written",
            got=f"{cause.filename or folder}: {cause.strerror}",
            fix="name a folder that you may write, with --in",
        ) from cause
    return folder


def _check_free(names: ProjectName, kind: Kind) -> None:
    """Refuse a name that a package beside the host has, or a contribution of the host's own."""
    host = peers.Host()
    owner = host.owner_of(names.package, besides=names.distribution)
    if names.distribution in host.own:
        owner = names.distribution
    got = None if owner is None else f"{names.package}, which {owner} brings"
    with suppress(MissingExtraError, ImportError):
        if got is None and names.dotted in POINTS.get(kind.point).entries().names():
            got = f"the {kind.point} `{names.dotted}`"
    if got is not None:
        raise PluginProjectError(
            "the name is taken by what is installed here",
            got=got,
            fix=f"put your own name before it, as in acme.{names.dotted}",
        )


def _spdx(licence: str) -> str:
    found = parse_licence(licence)
    if found is None:
        raise PluginProjectError(
            "this is no licence that SPDX knows",
            got=shown(licence) or "nothing",
            fix="as in Apache-2.0, MIT or LicenseRef-Proprietary; https://spdx.org/licenses",
        )
    return found


def _write(folder: Path, rendered: Mapping[str, str]) -> None:
    if os.path.lexists(folder):
        raise PluginProjectError(
            "there is a file or folder of that name",
            got=str(folder),
            fix="choose another name, or remove it first",
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=".new-", dir=folder.parent))
    try:
        beside.chmod(_MODE)
        for path, text in rendered.items():
            target = beside / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8", newline="\n")
        beside.rename(folder)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise


def _rendered(kind: Kind, names: ProjectName, licence: str) -> Iterator[tuple[str, str]]:
    """Yield path and text of every file."""
    templates = files("openautoglm.plugins.project") / "templates"
    values = {
        "id": names.dotted,
        "dotted": names.dotted,
        "distribution": names.distribution,
        "package": names.package,
        "class": names.class_name,
        "summary": kind.summary,
        "license": licence,
        "wheel": f"{names.package}-0.1.0-{'*' if kind.has_kernels else 'py3-none-any'}.whl",
        "peers": ", ".join(f'{name} = "{wanted}"' for name, wanted in kind.peers),
    }
    own = dict(_templates(templates / kind.name))
    provides = own.pop("provides.toml")
    values["provides"] = _filled(provides, values)
    for path, text in {**dict(_templates(templates / "every")), **own}.items():
        parts = [names.package if part == "package" else part for part in PurePosixPath(path).parts]
        target = "/".join(parts)
        yield ".gitignore" if target == "gitignore" else target, _filled(text, values)


def _templates(folder: Traversable, below: str = "") -> Iterator[tuple[str, str]]:
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.is_dir():
            yield from _templates(entry, f"{below}{entry.name}/")
        elif entry.name.endswith(_SUFFIX):
            yield below + entry.name.removesuffix(_SUFFIX), entry.read_text(encoding="utf-8")


def _filled(text: str, values: Mapping[str, str]) -> str:
    return _PLACE.sub(lambda place: values[place[1]], text)
