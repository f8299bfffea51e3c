"""A plugin's lock: the versions and hashes of all it depends on, inside its wheel.

Owns the format: lines of pip's requirements, `name==version --hash=sha256:...`, and nothing else.
Pure. The lock is worth what the wheel is: a signature on the wheel is one on the lock.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, final

from openautoglm.errors import PluginPackageError
from openautoglm.plugins.manifest import normalised
from openautoglm.plugins.reading import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_LINE: Final = re.compile(
    r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)==(?P<version>[A-Za-z0-9][A-Za-z0-9._+!-]*)"
    r"(?P<marker>\s*;[^#]*?)?(?P<hashes>(\s+--hash=sha256:[0-9a-f]{64})+)"
)
_HASH: Final = re.compile(r"--hash=sha256:([0-9a-f]{64})")


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Locked:
    """One distribution in one version, and what its wheels hash to."""

    name: str
    version: str
    hashes: frozenset[str]

    def __str__(self) -> str:
        hashes = " ".join(f"--hash=sha256:{each}" for each in sorted(self.hashes))
        return f"{self.name}=={self.version} {hashes}"


def parse_lock(text: bytes, *, file: str) -> dict[str, Locked]:
    """Read a lock, by normalised name.

    Raises:
        PluginPackageError: a line is something else than a version with hashes.

    Example:
        >>> parse_lock(b"Acme_Base==1.0 --hash=sha256:" + b"0" * 64, file="x")["acme-base"].version
        '1.0'
    """
    try:
        lines = text.decode("utf-8").replace("\\\r\n", " ").replace("\\\n", " ").splitlines()
    except UnicodeDecodeError as cause:
        raise _wrong(file, str(cause)) from cause
    locked: dict[str, Locked] = {}
    for line in lines:
        plain = re.sub(r"(^|\s)#.*", "", line).strip()
        if not plain:
            continue
        found = _LINE.fullmatch(plain)
        if found is None or normalised(found["name"]) in locked:
            raise _wrong(file, plain)
        name = normalised(found["name"])
        hashes = frozenset(_HASH.findall(found["hashes"]))
        locked[name] = Locked(name=name, version=found["version"], hashes=hashes)
    return locked


def refuse_unlocked(plugin: str, wanted: Iterable[Locked], lock: Mapping[str, Locked]) -> None:
    """Refuse what the lock does not have, in that version and with one of its hashes.

    Raises:
        PluginPackageError: names the distribution.
    """
    for each in wanted:
        there = lock.get(each.name)
        if there is None or there.version != each.version or not each.hashes <= there.hashes:
            said = "is not in it" if there is None else f"it has {there}"
            raise PluginPackageError(
                f"a dependency of plugin `{plugin}` is not the one in its lock",
                got=f"{each}; {said}",
                fix="get the wheel that was locked (--find-links DIR), or the plugin's author to "
                "lock it again",
            )


def _wrong(file: str, got: str) -> PluginPackageError:
    return PluginPackageError(
        "a lock has lines `name==version --hash=sha256:...`, one for each distribution",
        got=f"{file}: {shown(got)}",
        fix="write it with `uv pip compile --generate-hashes`, without indexes and paths",
    )
