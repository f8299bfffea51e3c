"""Recorded requests are read line by line, and a wrong line is named."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest

from openautoglm.errors import PluginCheckError
from openautoglm.plugins.trial.requests import Request, read_requests
from openautoglm.plugins.trial.subjects import is_like, stable

if TYPE_CHECKING:
    from pathlib import Path


def test_a_file_of_requests_comes_back(tmp_path: Path) -> None:
    file = tmp_path / "requests.jsonl"
    wanted = (
        Request(contribution="a", kwargs={"text": "x"}, expected=None),
        Request(contribution="b", method="run", args=[1, [2]], error="ValueError"),
        Request(contribution="c"),
    )
    file.write_bytes(b"\n\n".join(msgspec.json.encode(request) for request in wanted))

    found = read_requests(file)

    assert found == wanted
    assert [request.is_judged for request in found] == [True, True, False]


@pytest.mark.parametrize(
    "line", ['{"contribution": 1}', '{"contribution": "a", "text": "x"}', "[]", "{", "\x00"]
)
def test_a_line_that_is_no_request_is_named(line: str, tmp_path: Path) -> None:
    file = tmp_path / "requests.jsonl"
    file.write_text('{"contribution": "a"}\n' + line, encoding="utf-8")
    with pytest.raises(PluginCheckError, match="line 2"):
        read_requests(file)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(PluginCheckError, match="cannot be read"):
        read_requests(tmp_path / "nothing.jsonl")


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, True),
        ({"a": 1}, {"a": 1.5}, False),
        ([1, 2], [2, 1], False),
        ({1, 2}, {2, 1}, True),
        (float("nan"), float("nan"), True),
        ("a", b"a", False),
    ],
)
def test_answers_are_the_same_where_they_say_the_same(
    one: object, other: object, *, is_same: bool
) -> None:
    assert (stable(one) == stable(other)) is is_same


@pytest.mark.parametrize(
    ("answer", "expected", "is_same"),
    [
        ({"text": "A"}, {"text": "A"}, True),
        (np.array([0.1, 0.2], np.float32), [0.1, 0.2], True),
        (np.array([0.1, 0.2], np.float32), [0.1, 0.21], False),
        (np.array([0.1, 0.2], np.float32), [[0.1, 0.2]], False),
        (np.array(float("nan")), float("nan"), True),
        ((np.ones(2), np.zeros(1)), [[1, 1], [0]], True),
        ((np.ones(2), np.zeros(1)), [[1, 1], [1]], False),
        (np.ones(2), "ones", False),
        (np.array([0.5, 1.0], np.float32), ["float32", [0.5, 1.0]], True),  # its dtype recorded too
        (np.array([0.5, 1.0], np.float32), ["float64", [0.5, 1.0]], False),
        (np.ones(2), [[1.0], [1.0, 1.0]], False),
        ([0.1], [0.1000001], False),
    ],
)
def test_an_answer_of_arrays_is_the_recorded_one_within_rounding(
    answer: object, expected: object, *, is_same: bool
) -> None:
    assert is_like(answer, expected) == is_same
