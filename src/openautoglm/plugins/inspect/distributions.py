"""Which distribution brings which module, and what the host brings along.

Owns the look at what is installed; asked once a process. Knows nothing of any plugin.
"""

from __future__ import annotations

import re
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions
from typing import TYPE_CHECKING, Final

from openautoglm.plugins.manifest import normalised
from openautoglm.plugins.peers import Host, parse_requirement

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

KNOWN: Final[Mapping[str, str]] = {
    "PIL": "pillow",
    "attr": "attrs",
    "bs4": "beautifulsoup4",
    "cv2": "opencv-python",
    "dateutil": "python-dateutil",
    "dotenv": "python-dotenv",
    "elftools": "pyelftools",
    "google": "protobuf",
    "jwt": "pyjwt",
    "magic": "python-magic",
    "serial": "pyserial",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "tvm_ffi": "apache-tvm-ffi",
    "yaml": "pyyaml",
    "zmq": "pyzmq",
}
"""Distributions that are not called as their module, for those that are not installed."""


def is_standard(module: str) -> bool:
    """Whether a module comes with Python."""
    return module in sys.stdlib_module_names or module in sys.builtin_module_names


@cache
def providers() -> Mapping[str, frozenset[str]]:
    """Return the installed distributions that bring each top module, normalised."""
    return {
        module: frozenset(normalised(name) for name in names)
        for module, names in packages_distributions().items()
    }


def brings(name: str, module: str) -> bool:
    """Whether a distribution brings a top module: as installed, or else going by its name.

    Example:
        >>> brings("PyYAML", "yaml"), brings("acme-colours", "acme_colours"), brings("a", "b")
        (True, True, False)
    """
    known = providers().get(module)
    if known is not None and is_installed(name):
        return normalised(name) in known
    wanted = normalised(KNOWN.get(module, module))
    plain = re.sub(r"^python-|^py-|-python$|-py$", "", normalised(name))
    return wanted in {plain, normalised(name)} or plain.split("-")[0] == wanted


@cache
def is_installed(name: str) -> bool:
    """Whether a distribution is installed here."""
    return installed_version(name) is not None


@cache
def installed_version(name: str) -> str | None:
    """Return the version of a distribution that is installed here, or None."""
    try:
        return distribution(name).version
    except (PackageNotFoundError, ValueError):
        return None


@cache
def host_distributions() -> frozenset[str]:
    """Return every distribution the host brings: what it needs itself, with all its extras."""
    return Host().own


def closure(names: Iterable[str]) -> frozenset[str]:
    """Return what installing `names` brings along, themselves left out, as far as installed."""
    given = {normalised(name) for name in names}
    found: set[str] = set()
    pending = [need for name in given for need in _needs(name)]
    while pending:
        name = pending.pop()
        if name not in found:
            found.add(name)
            pending.extend(_needs(name))
    return frozenset(found - given)


@cache
def _needs(name: str) -> tuple[str, ...]:
    try:
        lines = distribution(name).requires or []
    except (PackageNotFoundError, ValueError):
        return ()
    requirements = [r for line in lines if (r := parse_requirement(line)) is not None]
    return tuple(
        normalised(r.name)
        for r in requirements
        if r.marker is None or r.marker.evaluate({"extra": ""})
    )
