"""Tests of rules: `test_*` rules of `*_test.rego`, and inputs with expected decisions as JSON.

Owns `run_suite` and its rows. A file `*_cases.json` holds:
    {"entrypoint": "plugin/admission", "data": {...}, "base": {...},
     "cases": [{"name": "...", "input": {...}, "expected": {"allow": false, "reasons": ["..."]}}]}
`data` is merged over the rules' data and each `input` over `base`; null in it takes a key away.
Without `reasons` any will do.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias, final

import msgspec

from openautoglm.errors import PolicyError, PolicyInputError
from openautoglm.policy import sources
from openautoglm.policy.document import Json, Limits
from openautoglm.policy.policy import Policy, checked, program_of, raise_failure
from openautoglm.policy.process import EvaluatingProcess
from openautoglm.policy.sources import Sources

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

TEST_RULE: Final = re.compile(r"^(test_\w+)", re.MULTILINE)
Object: TypeAlias = dict[str, object]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One test: `problem` is None where it passed."""

    file: str
    name: str
    problem: str | None = None


@final
class Expected(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a case must come to."""

    allow: bool
    reasons: tuple[str, ...] | None = None


@final
class Case(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An input, laid over the file's `base`, and what it must come to."""

    name: str
    expected: Expected
    input: Object = {}


@final
class Cases(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file of cases."""

    cases: tuple[Case, ...]
    entrypoint: str = "plugin/admission"
    data: Object = {}
    base: Object = {}


def run_suite(folder: Path, *, limits: Limits | None = None) -> tuple[Row, ...]:
    """Run all tests that a folder of rules holds.

    Raises:
        InputNotFoundError: the folder is not there.
        PolicyError: the rules do not compile, or there is no test.
    """
    rules = sources.read(folder)
    files = sorted(folder.rglob("*_cases.json")) if folder.is_dir() else []
    rows = [
        *_run_rego(rules, limits or Limits()),
        *(row for file in files for row in _run_cases(file, rules, limits or Limits())),
    ]
    if not rows:
        raise PolicyError(
            "there are no tests of these rules",
            got=str(folder),
            fix="add test_* rules in a *_test.rego file, or cases in a *_cases.json file",
        )
    return tuple(rows)


def patched(below: Mapping[str, object], above: Mapping[str, object]) -> Object:
    """Lay one JSON object over another, as RFC 7396 does: null takes a key away.

    Example:
        >>> patched({"a": 1, "b": {"c": 2, "d": 3}}, {"a": None, "b": {"c": 4}})
        {'b': {'c': 4, 'd': 3}}
    """
    made = {key: value for key, value in below.items() if above.get(key, key) is not None}
    for key, value in above.items():
        if isinstance(value, dict):
            old = made.get(key)
            made[key] = patched(old if isinstance(old, dict) else {}, value)
        elif value is not None:
            made[key] = value
    return made


def _run_rego(rules: Sources, limits: Limits) -> Iterator[Row]:
    every = Sources(modules={**rules.modules, **rules.tests}, data=rules.data)
    packages = rules.packages(rules.tests)
    for file, text in rules.tests.items():
        for name in dict.fromkeys(TEST_RULE.findall(text)):
            problem = _problem_of_rule(every, f"{packages[file]}/{name}", limits)
            yield Row(file=file, name=name, problem=problem)


def _problem_of_rule(rules: Sources, entrypoint: str, limits: Limits) -> str | None:
    """Run one test in a process of its own: some rules end the engine."""
    process = EvaluatingProcess(program_of(rules, (entrypoint,)), limits)
    try:
        checked(process.compiled(), rules.modules)
        reply = process.query(entrypoint, b"{}")
        raise_failure(reply, rules.modules)
    except PolicyError as error:
        return f"{error.problem}: {error.got}"
    finally:
        process.close()
    if reply.get("value") is True:
        return None
    return f"it is {json.dumps(reply['value'])}" if "value" in reply else "it is undefined"


def _run_cases(file: Path, rules: Sources, limits: Limits) -> Iterator[Row]:
    try:
        cases = msgspec.json.decode(file.read_bytes(), type=Cases)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as cause:
        raise PolicyError("a file of cases cannot be read", got=f"{file}: {cause}") from cause
    data = sources.merge(rules.data, cases.data)
    with Policy(Sources(modules=rules.modules, data=data), limits=limits) as policy:
        for case in cases.cases:
            yield Row(file=str(file), name=case.name, problem=_problem_of_case(policy, cases, case))


def _problem_of_case(policy: Policy, cases: Cases, case: Case) -> str | None:
    document: dict[str, Json] = patched(cases.base, case.input)
    try:
        decision = policy.decide(document, entrypoint=cases.entrypoint)
    except (PolicyError, PolicyInputError) as error:
        return f"{error.problem}: {error.got}"
    expected = case.expected
    if decision.allow is not expected.allow:
        told = "; ".join(decision.reasons) or "no reason"
        return f"allow is {json.dumps(decision.allow)}: {told}"
    if expected.reasons is not None and tuple(sorted(expected.reasons)) != decision.reasons:
        return f"reasons are {json.dumps(decision.reasons, ensure_ascii=False)}"
    return None
