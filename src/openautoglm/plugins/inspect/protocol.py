"""Each contributed object against what its point's contract says of it.

Owns the rows `static.kind` and `static.protocol`, and what one signature must take so that calls
made for another go through. The contract is `protocols.describe_points`, which a test of the host
holds to its frozen form; of the plugin nothing is imported. What a call made, and what a class
inherits from a package that is not the plugin's and not the host's, is not known, and believed.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Final

from openautoglm.plugins.inspect.api import Parameter
from openautoglm.plugins.inspect.manifest_rows import label
from openautoglm.plugins.inspect.rows import failed, passed
from openautoglm.plugins.peers import HOST
from openautoglm.plugins.points import STATE_METHODS
from openautoglm.plugins.protocols import describe_points

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from openautoglm.plugins.inspect.api import Found, How, Kind, Package
    from openautoglm.plugins.manifest import Manifest, Provides
    from openautoglm.plugins.protocols import Described, Method
    from openautoglm.plugins.report import Finding

CALL: Final = "(call)"
"""How a description names the call of the contribution itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What a point takes.

    Attributes:
        kinds: what the object may be.
        own: methods with parameters of the contribution's own, which it must write itself.
        fix: what the object ought to be.
    """

    kinds: frozenset[Kind]
    own: frozenset[str] = frozenset()
    fix: str


OPENS: Final[frozenset[Kind]] = frozenset({"class", "function"})
SHAPES: Final[Mapping[str, Shape]] = {
    "operator": Shape(
        kinds=frozenset({"class"}),
        own=frozenset({"forward", "backward"}),
        fix="name a subclass of `ops.Operator`, or what `ops.define` returned",
    ),
    "kernel": Shape(kinds=frozenset(), fix="name an `ops.Kernel`"),
    "backend": Shape(
        kinds=OPENS, fix="name a class with the methods of `Backend`, or what returns one"
    ),
    "source": Shape(
        kinds=OPENS, fix="name a class with the methods of `Source`, or what returns one"
    ),
    "sink": Shape(kinds=OPENS, fix="name a class with the methods of `Sink`, or what returns one"),
    "step": Shape(
        kinds=frozenset({"class"}),
        own=frozenset({"run"}),
        fix="name a subclass of `Step` that has `run`",
    ),
    "driver": Shape(
        kinds=frozenset({"class"}),
        fix="name a class with the methods of `PlatformIO`, and a static `refuses(facts)`",
    ),
}
_HOW: Final[Mapping[str, How]] = {
    "positional-only": "positional",
    "positional or keyword": "either",
    "keyword-only": "keyword",
}


@cache
def _described() -> Mapping[str, Described]:
    return describe_points()


def protocol_rows(manifest: Manifest, package: Package | None) -> Iterator[Finding]:
    """Ask whether the host can make and call each contribution."""
    for provides in manifest.provides:
        found = package.find(provides.object) if package and provides.object else None
        shape = SHAPES.get(provides.point)
        if found is None or shape is None or found.kind in {"outside", "made"}:
            continue  # the rows about points and objects say what is to be said
        if found.kind not in shape.kinds:
            measured = f"`{provides.object}` is a {found.kind}"
            threshold = f"a {' or '.join([*sorted(shape.kinds), 'what a call makes'])}"
            yield failed(
                "static.kind",
                measured,
                threshold=threshold,
                fix=shape.fix,
                contribution=label(provides),
            )
            continue
        yield passed("static.kind", f"a {found.kind}", contribution=label(provides))
        if found.kind in {"class", "function"}:
            yield _judged(provides, found, shape)


def _judged(provides: Provides, found: Found, shape: Shape) -> Finding:
    for method in [*_described()[provides.point]["methods"], *_of_state(provides)]:
        problem = _problem(found, method, shape)
        if problem:
            wanted = _written(method)
            fix = f"let it take {wanted}" if method["name"] == CALL else f"write `{wanted}`"
            fix = shape.fix if method["name"] in shape.own else fix
            return failed("static.protocol", problem, fix=fix, contribution=label(provides))
    return passed("static.protocol", contribution=label(provides))


def _problem(found: Found, method: Method, shape: Shape) -> str:
    """Return why a method, or the call of the object itself, is not as described."""
    name = method["name"]
    if name == CALL:
        taken = found.methods().get("__init__") if found.kind == "class" else found.parameters()
        why = "" if taken is None else mismatch(_expected(method), taken)
        return f"the {found.kind}: {why}" if why else ""
    if found.kind == "function":
        return ""
    if name not in found.methods():
        is_own = name in shape.own
        is_there = name in found.attributes() or _inherits(found, name, is_own=is_own)
        return "" if is_there or method["optional"] else f"there is no method `{name}`"
    if name in shape.own:
        return ""
    why = mismatch(_expected(method), found.methods()[name])
    return f"method `{name}`: {why}" if why else ""


def _of_state(provides: Provides) -> Iterator[Method]:
    names = {"import_state": ("state", "from_version")}
    for name in STATE_METHODS if provides.state else ():
        yield {
            "name": name,
            "optional": False,
            "parameters": [
                {"name": each, "kind": "positional or keyword", "required": True}
                for each in names.get(name, ())
            ],
        }


def _expected(method: Method) -> list[Parameter]:
    return [
        Parameter(name=each["name"], how=_HOW[each["kind"]], is_required=each["required"])
        for each in method["parameters"]
    ]


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


def _written(method: Method) -> str:
    parameters = _expected(method)
    shown = [] if method["name"] == CALL else ["self"]
    for parameter in parameters:
        if parameter.how == "keyword" and "*" not in shown:
            shown.append("*")
        shown.append(parameter.name if parameter.is_required else f"{parameter.name}=…")
    name = "" if method["name"] == CALL else method["name"]
    return f"{name}({', '.join(shown)})"
