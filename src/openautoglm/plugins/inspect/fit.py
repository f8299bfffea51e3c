"""Whether a plugin and this host fit, by the same rule as packing, installing and loading.

Owns the rows `static.host-api`, `static.python`, `static.peers.*`, `static.dependencies.fit` and
`static.shadowing`; the rule itself is `plugins.peers`. What is added here are modules beside the
plugin's package.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from openautoglm.plugins import peers
from openautoglm.plugins.inspect.distributions import is_standard, providers
from openautoglm.plugins.inspect.rows import failed, passed, shown
from openautoglm.plugins.manifest import API_VERSION, normalised
from openautoglm.plugins.peers import HOST

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from openautoglm.plugins.inspect.subject import Subject
    from openautoglm.plugins.manifest import Manifest
    from openautoglm.plugins.peers import Host, Misfit, Rule
    from openautoglm.plugins.report import Finding

ROWS: Final[Mapping[Rule, str]] = {
    "host-api": "static.host-api",
    "python": "static.python",
    "peer": "static.peers.range",
    "dependency": "static.dependencies.fit",
    "package": "static.shadowing",
}


def fit_rows(subject: Subject, manifest: Manifest) -> Iterator[Finding]:
    """Ask whether this host is one the plugin takes, and whether it leaves the host its own."""
    host = peers.Host()
    found: dict[str, list[Misfit]] = {row: [] for row in (*ROWS.values(), "static.peers.shared")}
    for misfit in peers.misfits(manifest, host):
        found[ROWS[misfit.rule]].append(misfit)
    names = [path.as_posix() for path in subject.files]
    found["static.peers.shared"] += peers.vendored(names, manifest, host)
    for row, misfits in found.items():
        if misfits:
            texts = [f"{misfit.problem}: {misfit.got}" for misfit in misfits]
            yield failed(row, shown(texts), fix=misfits[0].fix)
        elif row == "static.shadowing":
            yield _beside(subject, manifest, host)
        else:
            yield passed(row, _measured(row, manifest))


def _measured(row: str, manifest: Manifest) -> str:
    match row:
        case "static.host-api":
            return f"API {API_VERSION} in {manifest.host_api}"
        case "static.python":
            return manifest.requires_python or "any"
        case "static.peers.range":
            return shown(f"{name} {wanted}" for name, wanted in manifest.peers.items()) or "none"
        case "static.dependencies.fit":
            return f"{len(manifest.dependencies)} dependencies"
        case _:
            return ""


def _beside(subject: Subject, manifest: Manifest, host: Host) -> Finding:
    """Look at modules that would be found beside the package, as a folder `src` may have them."""
    tops = {
        path.parts[0].removesuffix(".py")
        for path in subject.files
        if not path.parts[0].endswith((".dist-info", ".data"))
    }
    hidden = []
    for top in sorted(tops - {manifest.package}):
        owners = providers().get(top, frozenset()) - {normalised(manifest.name)}
        if is_standard(top):
            hidden.append(f"`{top}` is Python's own")
        elif owners & host.own or top == HOST:
            hidden.append(f"`{top}` is the host's")
    if hidden:
        return failed("static.shadowing", shown(hidden))
    return passed("static.shadowing", shown(sorted(tops)))
