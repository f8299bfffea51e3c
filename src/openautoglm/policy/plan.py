"""What is wrong with compiled rules although the engine took them, and where it is.

Pure functions over the plan (OPA's intermediate representation). The engine compiles calls of
functions that do not exist and variables that nothing sets; at run time such a rule is silently
undefined, and a rule meant to deny denies nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

READS: Final = frozenset({"source", "index", "file", "row", "col", "capacity"})
"""Plain numbers in a statement that set no local variable."""

ENGINE_ERROR: Final = re.compile(
    r"\(error(?: \d+:([^|\s]*)\|(\d+)\|\d+)?\s*\(errormsg (?:\d+:)?(.*?)\)\s*\(errorast", re.DOTALL
)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One problem of the rules; `line` counts from 1 and is 0 where it is not known."""

    file: str
    line: int
    text: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}: " if self.line else self.file and f"{self.file}: "
        return f"{place}{self.text}"


def in_plan(plan: Mapping[str, Any], missing: Sequence[str]) -> tuple[Problem, ...]:
    """Return calls of functions that are not there and variables that nothing sets."""
    files = [entry["value"] for entry in plan["static"]["files"]]
    functions = plan["funcs"]["funcs"]
    known = {function["name"] for function in functions}
    known |= {function["name"] for function in plan["static"]["builtin_funcs"]} - set(missing)
    found = []
    for function in functions:
        found += [
            _problem(statement, files, f"there is no function {_spoken(statement['func'])}")
            for statement in _statements(function["blocks"])
            if "func" in statement and statement["func"] not in known
        ]
        found += [
            _problem(statement, files, "a variable is used that nothing sets")
            for statement in _unset(function)
        ]
    return tuple(dict.fromkeys(found))


def in_error(text: str, sources: Mapping[str, str]) -> tuple[Problem, ...]:
    """Return what an error of the engine says, with lines counted in our own sources."""
    found = []
    for name, offset, message in ENGINE_ERROR.findall(text):
        source = sources.get(name, "").encode()
        line = source.count(b"\n", 0, int(offset)) + 1 if name in sources else 0
        found.append(Problem(file=name, line=line, text=" ".join(message.split())))
    return tuple(found)


def has_rule(plan: Mapping[str, Any], package: str, rule: str) -> bool:
    """Whether a package (`a/b`) defines a rule at all."""
    name = ".".join(("g0.data", *package.split("/"), rule))
    return any(function["name"] == name for function in plan["funcs"]["funcs"])


def _statements(value: object) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        if isinstance(value.get("stmt"), dict):
            yield value["stmt"]
        for item in value.values():
            yield from _statements(item)
    elif isinstance(value, list):
        for item in value:
            yield from _statements(item)


def _unset(function: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the statements that read a local variable which no statement writes."""
    statements = list(_statements(function["blocks"]))
    written = {*function["params"]}
    for statement in statements:
        written |= {v for k, v in statement.items() if type(v) is int and k not in READS}
    place: dict[str, Any] = {}
    for statement in statements:
        place = statement if "row" in statement else place
        if not _locals(statement) <= written:
            yield {**statement, **{k: place[k] for k in ("file", "row") if k in place}}


def _locals(statement: Mapping[str, Any]) -> set[int]:
    operands = [*statement.values(), *statement.get("args", ())]
    return {
        operand["value"]
        for operand in operands
        if isinstance(operand, dict) and operand.get("type") == "local"
    }


def _problem(statement: Mapping[str, Any], files: Sequence[str], text: str) -> Problem:
    if "row" not in statement:
        return Problem(file="", line=0, text=text)
    return Problem(file=files[statement["file"]], line=statement["row"] + 1, text=text)


def _spoken(name: str) -> str:
    return name.removeprefix("g0.")
