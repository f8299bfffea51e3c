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

KindName: TypeAlias = Literal[
    "operator-python", "operator-cpp", "operator-cuda", "backend", "source", "step"
]
MAX_NAME: Final = 60
RESERVED: Final = frozenset({"openautoglm", "test", "tests", "src", "plugin", "plugins"})


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What one kind of project starts as.

    Attributes:
        name: also the folder of its template.
        summary: one line for `[project] description`.
        peers: distributions of the host its code imports, each with a range.
    """

    name: KindName
    summary: str
    peers: tuple[tuple[str, str], ...] = ()


_NUMPY: Final = (("numpy", ">=2.2"),)
KINDS: Final = {
    kind.name: kind
    for kind in (
        Kind(name="operator-python", summary="An operator written in Python", peers=_NUMPY),
        Kind(name="operator-cpp", summary="An operator with a kernel in C++", peers=_NUMPY),
        Kind(
            name="operator-cuda", summary="An operator with kernels in C++ and CUDA", peers=_NUMPY
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
        if len(dotted) > MAX_NAME or not re.fullmatch(r"[a-z][a-z0-9]*(?:[.-][a-z0-9]+)*", dotted):
            raise PluginProjectError(
                "this cannot be the name of a plugin",
                got=shown(text) or "an empty name",
                fix="letters of ASCII, digits, dots and hyphens, at most "
                f"{MAX_NAME}, as in acme.upper",
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


def kind_named(name: str) -> Kind:
    """Return a kind.

    Raises:
        PluginProjectError: there is no such kind.
    """
    for kind in KINDS.values():
        if kind.name == name:
            return kind
    raise PluginProjectError(
        "there is no such kind of plugin", got=shown(name), fix=f"one of {', '.join(KINDS)}"
    )
