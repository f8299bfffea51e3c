"""The step `text.clean` makes the repairs its parameters name."""

from __future__ import annotations

from dataclasses import fields

import msgspec
import pytest

from openautoglm.pipeline.steps.clean import Clean
from openautoglm.pipeline.text.cleaning import Repairs


def test_it_cleans() -> None:
    assert Clean().run(text="<p>价格：１２&nbsp;元</p>") == {"text": "价格：12 元"}


def test_its_parameters_are_the_repairs() -> None:
    assert list(Clean.__struct_fields__) == [field.name for field in fields(Repairs)]


@pytest.mark.parametrize(
    ("repair", "dirty"),
    [
        ("mojibake", "cafÃ©"),
        ("entities", "&lt;3"),
        ("controls", "a\u200bb"),
        ("forms", "Ａ"),
        ("html", "<b>a</b>"),
        ("whitespace", "a\u3000b"),
    ],
)
def test_a_parameter_switches_its_repair_off(repair: str, dirty: str) -> None:
    off = msgspec.convert({repair: False}, Clean)
    assert off.run(text=dirty) == {"text": dirty}
    assert Clean().run(text=dirty) != {"text": dirty}
