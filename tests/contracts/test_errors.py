"""The errors, spec/errors.toml and docs/errors.md say the same."""

from __future__ import annotations

import pickle
import tomllib
from pathlib import Path

import pytest

from openautoglm import errors

ROOT = Path(__file__).parents[2]
CLASSES = [
    value
    for value in vars(errors).values()
    if isinstance(value, type)
    and issubclass(value, errors.OpenAutoGLMError)
    and value is not errors.OpenAutoGLMError
]


def test_every_class_has_a_code_of_its_own() -> None:
    codes = [kind.code for kind in CLASSES]
    assert len(set(codes)) == len(codes)
    assert all(code.startswith("OAG") and code[3:].isdigit() for code in codes)


def test_the_spec_lists_the_same_codes_and_names() -> None:
    spec = tomllib.loads((ROOT / "spec/errors.toml").read_text(encoding="utf-8"))
    assert {code: entry["name"] for code, entry in spec.items()} == {
        kind.code: kind.__name__ for kind in CLASSES
    }


def test_the_page_of_errors_is_what_the_spec_says() -> None:
    spec = tomllib.loads((ROOT / "spec/errors.toml").read_text(encoding="utf-8"))
    page = (ROOT / "docs/errors.md").read_text(encoding="utf-8")
    rows = [f"| {code} | `{e['name']}` | {e['means']} |" for code, e in sorted(spec.items())]
    assert [line for line in page.splitlines() if line.startswith("| OAG")] == rows


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.code)
def test_an_error_prints_code_problem_got_and_fix_and_crosses_processes(
    kind: type[errors.OpenAutoGLMError],
) -> None:
    error = kind("the problem", got=("a", 1), fix="the fix")
    assert str(error) == f"[{kind.code}] the problem\n  got: ('a', 1)\n  fix: the fix"
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    assert type(again) is kind
    assert str(again) == str(error)
