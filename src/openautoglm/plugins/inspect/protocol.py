"""Each contributed object against what its point's contract says of it.

Owns the rows `static.kind` and `static.protocol`, and what one signature must take so that calls
made for another go through. The contract is the host's own protocol, whose frozen description a
test of the host holds it to; of the plugin nothing is imported. What a class inherits from a
package that is not the plugin's and not the host's is not known, and believed.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Final

from openautoglm.plugins.inspect.api import Parameter
from openautoglm.plugins.inspect.manifest_rows import label
from openautoglm.plugins.inspect.rows import failed, passed
from openautoglm.plugins.peers import HOST
from openautoglm.plugins.points import POINTS, STATE_METHODS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from openautoglm.plugins.inspect.api import Found, How, Kind, Package
    from openautoglm.plugins.manifest import Manifest, Provides
    from openautoglm.plugins.report import Finding


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What a point takes.

    Attributes:
        kinds: what the object may be; "outside" always may be, since it cannot be read.
        own: methods a class must write itself, whatever parameters they have.
        extra: methods beside those of the protocol, with the names of their parameters.
        is_instance: instances of the class keep the protocol, so that its methods are compared.
        fix: what the object ought to be.
    """

    kinds: frozenset[Kind]
    own: tuple[str, ...] = ()
    extra: Mapping[str, tuple[str, ...]] | None = None
    is_instance: bool = False
    fix: str


SHAPES: Final[Mapping[str, Shape]] = {
    "operator": Shape(
        kinds=frozenset({"class", "value"}),
        own=("forward",),
        fix="name a subclass of `ops.Operator`, or what `ops.define` returned",
    ),
    "kernel": Shape(kinds=frozenset({"value"}), fix="name an `ops.Kernel`"),
    "backend": Shape(
        kinds=frozenset({"class", "function", "value"}),
        is_instance=True,
        fix="name a class with the methods of `Backend`, or a function that returns one",
    ),
    "source": Shape(
        kinds=frozenset({"class", "function"}),
        is_instance=True,
        fix="name a class with the methods of `Source`, or a function that returns one",
    ),
    "sink": Shape(
        kinds=frozenset({"class", "function"}),
        is_instance=True,
        fix="name a class with the methods of `Sink`, or a function that returns one",
    ),
    "step": Shape(
        kinds=frozenset({"class"}), own=("run",), fix="name a subclass of `Step` that has `run`"
    ),
    "driver": Shape(
        kinds=frozenset({"class"}),
        extra={"refuses": ("facts",)},
        is_instance=True,
        fix="name a class with the methods of `PlatformIO`, and a static `refuses(facts)`",
    ),
}
_HOW: Final[Mapping[object, How]] = {
    inspect.Parameter.POSITIONAL_ONLY: "positional",
    inspect.Parameter.POSITIONAL_OR_KEYWORD: "either",
    inspect.Parameter.KEYWORD_ONLY: "keyword",
    inspect.Parameter.VAR_POSITIONAL: "any-positional",
    inspect.Parameter.VAR_KEYWORD: "any-keyword",
}


def protocol_rows(manifest: Manifest, package: Package | None) -> Iterator[Finding]:
    """Ask whether the host can make and call each contribution."""
    for provides in manifest.provides:
        found = package.find(provides.object) if package and provides.object else None
        shape = SHAPES.get(provides.point)
        if found is None or shape is None or found.kind == "outside":
            continue  # the rows about points and objects say what is to be said
        if found.kind not in shape.kinds:
            measured = f"`{provides.object}` is a {found.kind}"
            threshold = f"a {' or '.join(sorted(shape.kinds))}"
            yield failed(
                "static.kind",
                measured,
                threshold=threshold,
                fix=shape.fix,
                contribution=label(provides),
            )
            continue
        yield passed("static.kind", f"a {found.kind}", contribution=label(provides))
        if found.kind == "class":
            yield _class(provides, found, shape)


def _class(provides: Provides, found: Found, shape: Shape) -> Finding:
    problems = list(_problems(provides, found, shape))
    if problems:
        first, fix = problems[0]
        return failed("static.protocol", first, fix=fix, contribution=label(provides))
    return passed("static.protocol", contribution=label(provides))


def _problems(provides: Provides, found: Found, shape: Shape) -> Iterator[tuple[str, str]]:
    methods = found.methods()
    for name in shape.own:
        if name not in methods and not _inherits(found, name, is_own=True):
            yield f"there is no method `{name}`", f"write `{name}`"
    for name, wanted in _expected(provides, shape).items():
        if name not in methods:
            if name not in found.attributes() and not _inherits(found, name):
                yield f"there is no method `{name}`", f"write `{name}`"
            continue
        why = mismatch(wanted, methods[name])
        if why:
            yield f"method `{name}`: {why}", f"write it as {_written(name, wanted)}"


def _expected(provides: Provides, shape: Shape) -> dict[str, tuple[Parameter, ...]]:
    found: dict[str, tuple[Parameter, ...]] = {}
    if shape.is_instance:
        found |= _methods(POINTS.get(provides.point).load("protocol"))
    for name, names in (shape.extra or {}).items():
        found[name] = tuple(Parameter(name=n, how="either", is_required=True) for n in names)
    if provides.state:
        state = {"export_state": (), "import_state": ("state", "from_version")}
        for name in STATE_METHODS:
            names = state.get(name, ())
            found[name] = tuple(Parameter(name=n, how="either", is_required=True) for n in names)
    return found


def _methods(protocol: object) -> dict[str, tuple[Parameter, ...]]:
    return {
        name: _signature(value)
        for name, value in vars(protocol).items()
        if inspect.isfunction(value) and not name.startswith("_")
    }


def _signature(function: Callable[..., object]) -> tuple[Parameter, ...]:
    parameters = list(inspect.signature(function).parameters.values())[1:]
    return tuple(
        Parameter(name=p.name, how=_HOW[p.kind], is_required=p.default is p.empty)
        for p in parameters
    )


def _inherits(found: Found, name: str, *, is_own: bool = False) -> bool:
    """Whether a class may have a method from a base that is not the plugin's."""
    for base in found.bases_outside():
        module, _, attribute = base.rpartition(".")
        if module.partition(".")[0] != HOST:
            if module and module != "typing":
                return True  # not known, and believed
            continue
        try:
            host_base = getattr(import_module(module), attribute)
        except (ImportError, AttributeError):
            return True
        if (
            hasattr(host_base, name)
            and not is_own
            and not getattr(host_base, "_is_protocol", False)
        ):
            return True
    return False


def mismatch(expected: Sequence[Parameter], found: Sequence[Parameter]) -> str:
    """Return why a call that fits `expected` does not fit `found`, empty where it does."""
    takes_any = {p.how for p in found}
    places = [p for p in found if p.how in {"positional", "either"}]
    names = {p.name: p for p in found if p.how in {"either", "keyword"}}
    given = [p for p in expected if p.how in {"positional", "either"}]
    if len(given) > len(places) and "any-positional" not in takes_any:
        lost = given[len(places)]
        by_name = lost.how == "either" and lost.name in names
        return f"it takes `{lost.name}` {'by name only' if by_name else 'not at all'}"
    keywords = [p.name for p in expected if p.how == "keyword"]
    lacking = [n for n in keywords if n not in names and "any-keyword" not in takes_any]
    if lacking:
        return f"it takes `{lacking[0]}` not at all"
    taken = [p.name for p in places[: len(given)] if p.name in keywords and p.how == "either"]
    if taken:
        return f"it takes `{taken[0]}` in another place"
    filled = {p.name for p in places[: len(given)]} | set(keywords)
    needed = [p.name for p in found if p.is_required and not p.how.startswith("any-")]
    extra = [name for name in needed if name not in filled]
    if extra and not any(p.how.startswith("any-") for p in expected):
        return f"it needs `{extra[0]}`, which the host does not pass"
    return ""


def _written(name: str, parameters: Sequence[Parameter]) -> str:
    shown = ["self"]
    for parameter in parameters:
        if parameter.how == "keyword" and "*" not in shown:
            shown.append("*")
        shown.append(parameter.name if parameter.is_required else f"{parameter.name}=…")
    return f"`{name}({', '.join(shown)})`"
