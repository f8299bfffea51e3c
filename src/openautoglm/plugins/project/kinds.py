"""The kinds of project there are, and the names a project's name leads to.

Pure data: touches no file.
"""

from __future__ import annotations

import keyword
import re
import sys
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, final

from openautoglm.errors import PluginProjectError
from openautoglm.plugins.reading import shown
from openautoglm.registry import suggest

KindName: TypeAlias = Literal[
    "operator-python", "operator-cpp", "operator-cuda", "backend", "source", "step"
]
MAX_NAME: Final = 60
_NAME: Final = re.compile(r"[a-z][a-z0-9]*(?:[.-][a-z0-9]+)*")
RESERVED: Final = frozenset({"openautoglm", "test", "tests", "src", "plugin", "plugins"})


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What one kind of project starts as.

    Attributes:
        name: also the folder of its template.
        summary: one line for `[project] description`.
        peers: distributions of the host its code imports, each with a range.
        has_kernels: it is compiled for one kind of machine, and runs in the host's process.
    """

    name: KindName
    summary: str
    peers: tuple[tuple[str, str], ...] = ()
    has_kernels: bool = False

    @property
    def point(self) -> str:
        """The extension point of its contribution."""
        return self.name.partition("-")[0]


_NUMPY: Final = (("numpy", ">=2.2"),)
KINDS: Final = {
    kind.name: kind
    for kind in (
        Kind(name="operator-python", summary="An operator written in Python", peers=_NUMPY),
        Kind(
            name="operator-cpp",
            summary="An operator with a kernel in C++",
            peers=_NUMPY,
            has_kernels=True,
        ),
        Kind(
            name="operator-cuda",
            summary="An operator with kernels in C++ and CUDA",
            peers=_NUMPY,
            has_kernels=True,
        ),
        Kind(name="backend", summary="A backend that generates text"),
        Kind(name="source", summary="A source of records"),
        Kind(name="step", summary="A step of a pipeline"),
    )
}


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectName:
    """One name in the spellings that Python, pip and people want.

    Attributes:
        dotted: as it was given, lower case: the id, and the name in most registries.
        distribution: with hyphens.
        package: a Python identifier.
        class_name: of the last part.
    """

    dotted: str
    distribution: str
    package: str
    class_name: str

    @classmethod
    def parse(cls, text: str) -> ProjectName:
        """Read a name such as `acme.upper` or `acme-upper`.

        Raises:
            PluginProjectError: it is no name, or Python or the host has it already.

        Example:
            >>> name = ProjectName.parse("acme.fast-add")
            >>> name.distribution, name.package, name.class_name
            ('acme-fast-add', 'acme_fast_add', 'FastAdd')
        """
        dotted = text.strip().lower().replace("_", "-")
        if len(dotted) > MAX_NAME or not _NAME.fullmatch(dotted):
            raise PluginProjectError(
                "this cannot be the name of a plugin",
                got=shown(text) if text else "an empty name",
                fix=_better(dotted),
            )
        package = re.sub(r"[.-]", "_", dotted)
        if keyword.iskeyword(package) or package in sys.stdlib_module_names | RESERVED:
            raise PluginProjectError(
                "the name is taken by Python or by the host",
                got=package,
                fix=f"put your own name before it, as in acme.{dotted}",
            )
        words = re.split(r"[.-]", dotted)
        last = re.split(r"-", dotted.rpartition(".")[2])
        return cls(
            dotted=dotted,
            distribution="-".join(words),
            package=package,
            class_name="".join(word.capitalize() for word in last),
        )


def _better(dotted: str) -> str:
    """Return how to name it instead: the nearest name that can be, or what names are made of."""
    if len(dotted) > MAX_NAME:
        return f"at most {MAX_NAME} characters, and this has {len(dotted)}"
    near = re.sub(r"[^a-z0-9.]+", "-", dotted).strip("-.")
    made_of = "a letter of ASCII, then letters, digits, dots and hyphens"
    return f"{made_of}, as in {near if _NAME.fullmatch(near) else 'acme.upper'}"


def kind_named(name: str) -> Kind:
    """Return a kind.

    Raises:
        PluginProjectError: there is no such kind.
    """
    for kind in KINDS.values():
        if kind.name == name:
            return kind
    near = suggest(name, tuple(KINDS))
    raise PluginProjectError(
        "there is no such kind of plugin",
        got=shown(name),
        fix=f"{f'{near} ' if near else ''}there are {', '.join(KINDS)}",
    )
