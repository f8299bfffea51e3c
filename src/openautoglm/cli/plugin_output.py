"""What `oag plugin` prints of plugins and conflicts: lines for people, JSON for programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from openautoglm.plugins.inventory.conflicts import Conflict
    from openautoglm.plugins.inventory.installed import Installed


def tell(verb: str, found: Installed, *, as_json: bool = False) -> None:
    """Print one line on a plugin, or all of it as JSON."""
    if as_json:
        print_json(plain(found))
        return
    off = "" if found.enabled or verb == "disabled" else "  (disabled)"
    typer.echo(f"{verb:<9} {found.id} {found.version}{off}")


def what_next(project: str, kind: str) -> Iterator[str]:
    """Yield that a project was made, and the commands that come next."""
    from openautoglm.plugins.project import KINDS

    wheel = f"{project}/dist/*.whl"
    yield f"made      {project}"
    yield f"next      oag plugin dev {project}"
    yield f"          oag plugin check {project}"
    yield f"          oag plugin pack {project}"
    if any(each.has_kernels for each in KINDS.values() if each.name == kind):
        yield f"          oag plugin sign {wheel} --key NAME"
    yield f"          oag plugin install {wheel}"


def cannot_run(found: Installed) -> Iterator[str]:
    """Yield what keeps contributions of a plugin from running, and the fix."""
    from openautoglm.plugins.contributions import contributed

    for each in contributed(found):
        if each.lacks:
            yield f"but       {each.point} {each.name} cannot run: {each.lacks}"
            yield f"  fix     {each.fix}"


def listed(found: Installed) -> str:
    """Return a plugin as one line of a list."""
    from openautoglm.plugins.contributions import isolation_of

    points = ", ".join(dict.fromkeys(each.point for each in found.manifest.provides))
    state = isolation_of(found) if found.enabled else "disabled"
    return f"{found.id:<28} {found.version:<10} {points:<16} {state}"


def rows(found: Installed, names: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield label and value of all that is known of a plugin.

    Args:
        found: the plugin.
        names: of the keys in the keyring, by id.
    """
    from openautoglm.plugins.contributions import contributed, isolation_of

    manifest = found.manifest
    yield "id", f"{found.id} {found.version}{'' if found.enabled else '  (disabled)'}"
    yield "summary", manifest.summary
    for each in manifest.provides:
        made_of = each.object or each.sources or each.module
        yield "provides", f"{each.point} {each.name}  ({made_of})"
    yield "isolation", isolation_of(found)
    for one in contributed(found):
        if one.lacks:
            yield "lacks", one.lacks
            yield "fix", one.fix
    yield "may", ", ".join(manifest.permissions) or "nothing on the bus"
    for name, wanted in sorted(manifest.peers.items()):
        yield "peer", f"{name} {wanted}"
    for name, version in sorted(found.dependencies.items()):
        yield "brings", f"{name} {version}"
    others = [version for version in found.versions if version != found.version]
    yield "versions", ", ".join([found.version, *others])
    signed = [f"by {names.get(key, 'a key that is gone')} ({key})" for key in found.verdict.keys]
    yield "signed", ", ".join(signed) if found.verdict.trusted else "not by a trusted key"
    proof = found.proof
    yield "checked", "not here" if proof is None else f"{proof.profile}, digest {proof.digest}"
    if found.is_downgrade:
        yield "older", "a higher version was in use before"
    yield "files", str(found.root)


def plain(found: Installed) -> dict[str, object]:
    """Return a plugin as JSON holds it."""
    import msgspec

    return {
        "id": found.id,
        "version": found.version,
        "enabled": found.enabled,
        "origin": found.origin,
        "level": found.manifest.level,
        "root": str(found.root),
        "sha256": found.sha256,
        "previous": found.previous,
        "versions": list(found.versions),
        "dependencies": dict(found.dependencies),
        "verdict": msgspec.to_builtins(found.verdict),
        "proof": msgspec.to_builtins(found.proof),
        "is_downgrade": found.is_downgrade,
        "installed": found.installed,
        "manifest": msgspec.to_builtins(found.manifest),
    }


def plain_conflict(found: Conflict) -> Mapping[str, object]:
    """Return a conflict as JSON holds it."""
    return {
        "kind": found.kind,
        "problem": found.problem,
        "sides": list(found.sides),
        "got": found.got,
        "fix": found.fix,
    }


def told(found: Sequence[Conflict]) -> Iterator[str]:
    """Yield conflicts for people."""
    for each in found:
        yield f"{each.kind:<12} {each.problem}"
        yield f"  between  {' and '.join(each.sides)}"
        yield f"  got      {each.got}"
        yield f"  fix      {each.fix}"
    yield f"{len(found)} to mend" if found else "all plugins go together"


def short(path: Path) -> str:
    """Return a path as short as it can be told from here."""
    """Return a path as short as it can be told from here."""
    try:
        return str(path.absolute().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def print_json(value: object) -> None:
    """Print a value as JSON."""
    import msgspec

    typer.echo(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())
