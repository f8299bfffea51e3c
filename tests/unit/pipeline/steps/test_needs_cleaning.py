"""The step `text.needs_cleaning` takes exactly one of two ways and says why."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from openautoglm.pipeline.steps.clean import Clean
from openautoglm.pipeline.steps.needs_cleaning import NeedsCleaning


@given(st.text())
def test_it_fills_exactly_one_output_and_agrees_with_clean(text: str) -> None:
    filled = dict(NeedsCleaning().run(text=text))
    reasons = filled.pop("reasons")
    changed = Clean().run(text=text)["text"] != text
    assert filled == {"dirty" if changed else "clean": text}
    assert bool(reasons) == changed


def test_it_gives_one_reason_for_each_repair() -> None:
    reasons = NeedsCleaning().run(text="\ufeff<b>ＡＩ</b>&amp; ï»¿  cafÃ©")["reasons"]
    assert isinstance(reasons, list)
    assert len(reasons) == 6


def test_a_repair_that_is_off_is_no_reason() -> None:
    step = msgspec.convert({"html": False}, NeedsCleaning)
    assert step.run(text="<b>a</b>") == {"clean": "<b>a</b>", "reasons": []}


def test_its_parameters_are_those_of_clean() -> None:
    assert NeedsCleaning.__struct_fields__ == Clean.__struct_fields__
