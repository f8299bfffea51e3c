"""How long rendering a template takes beside `str.format`, which checks nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from openautoglm import PromptTemplate
from timing import medians_s, report

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ROUNDS = 2_000
CALLS = 100  # a round: shorter than a time slice of the machine, so that most are undisturbed


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A template as people write them, and its values."""

    name: str
    template: str
    values: dict[str, object]


CASES = (
    Case(
        name="one variable, 20 characters",
        template="请根据以下内容生成摘要:{content}",
        values={"content": "人工智能正在快速发展..."},
    ),
    Case(
        name="five variables, 600 characters",
        template=("背景说明。" * 20 + "{a}\n") + "{b}:{c}\n" + ("要求。" * 100 + "{d} {e}"),
        values={name: name * 20 for name in "abcde"},
    ),
    Case(
        name="a document of 20,000 characters",
        template="{tone}:{content}",
        values={"tone": "正式", "content": "人工智能" * 5_000},
    ),
    Case(
        name="two numbers and a text",
        template="{a} + {b} = {c}",
        values={"a": 1, "b": 2.5, "c": "?"},
    ),
)


def repeated(render: Callable[..., str], values: Mapping[str, object]) -> Callable[[], None]:
    """Return a round: `CALLS` calls in a loop."""

    def run() -> None:
        for _ in range(CALLS):
            render(**values)

    return run


def measure(case: Case) -> dict[str, str | float]:
    """Time both in turns; the figures are medians over the rounds."""
    ours = PromptTemplate(case.template, list(case.values)).format
    theirs = case.template.format
    if ours(**case.values) != theirs(**case.values):
        raise SystemExit(f"{case.name}: the results differ")
    sides = {"theirs": repeated(theirs, case.values), "ours": repeated(ours, case.values)}
    medians = medians_s(sides, rounds=ROUNDS)
    return {
        "template": case.name,
        "str.format (ns)": round(medians["theirs"] / CALLS * 1e9),
        "PromptTemplate.format (ns)": round(medians["ours"] / CALLS * 1e9),
        "times as long": round(medians["ours"] / medians["theirs"], 2),
    }


if __name__ == "__main__":
    report("Rendering a template", [measure(case) for case in CASES])
