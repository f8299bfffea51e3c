"""Rows are whole, files are whole or untouched, and a failure keeps what was written."""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from openautoglm.cli.outputs import as_json_line, as_text, open_sink
from openautoglm.errors import OutputWriteError

if TYPE_CHECKING:
    from openautoglm.engine.generation import Json

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), JSON, max_size=4))
def test_a_row_is_one_line_that_reads_back(row: dict[str, Json]) -> None:
    line = as_json_line(row)
    assert line.count("\n") == 1
    assert json.loads(line) == row


def test_a_row_may_hold_half_a_surrogate_pair_and_values_that_json_has_not() -> None:
    assert as_json_line({"text": "\ud800"}) == '{"text": "\\ud800"}\n'
    assert json.loads(as_json_line({"n": float("nan"), "p": Path("x")})) == {"n": None, "p": "x"}


def test_a_value_may_be_a_struct() -> None:
    class Point(msgspec.Struct):
        x: int

    assert as_json_line({"at": Point(1)}) == '{"at":{"x":1}}\n'


@pytest.mark.parametrize(
    ("outputs", "text"),
    [
        ({"summary": "One.\nTwo."}, "One.\nTwo.\n"),
        ({"a": "x", "b": None}, "a: x\nb: null\n"),
        ({"a": {"n": 1, "t": "p\nq"}, "l": ["x", {"y": []}]},
         "a:\n  n: 1\n  t:\n    p\n    q\nl:\n  - x\n  -\n    y: []\n"),
        ({}, "{}\n"),
    ],
)  # fmt: skip
def test_text_is_for_people(outputs: dict[str, Json], text: str) -> None:
    assert as_text(outputs) == text


def test_text_has_a_heading_where_there_are_several_records() -> None:
    assert as_text({"a": "x"}, heading="a.txt") == "== a.txt\nx\n"


def test_a_file_takes_its_name_when_all_is_written(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    path.write_text("the old run\n")
    path.chmod(0o640)
    with open_sink(str(path)) as sink:
        sink.write("one\n")
        assert path.read_text() == "the old run\n"
        sink.commit()
    assert path.read_text() == "one\n"
    assert path.stat().st_mode & 0o777 == 0o640
    assert os.listdir(tmp_path) == ["out.jsonl"]  # noqa: PTH208 - names are enough


def test_an_interrupted_run_keeps_its_rows_beside_the_old_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "out.jsonl"
    path.write_text("the old run\n")
    with contextlib.suppress(KeyboardInterrupt), open_sink(str(path)) as sink:
        sink.write("one\n")
        raise KeyboardInterrupt
    assert path.read_text() == "the old run\n"
    assert (tmp_path / "out.jsonl.part").read_text() == "one\n"
    assert f"what was written is kept in {path}.part" in capsys.readouterr().err


def test_the_next_run_begins_anew(tmp_path: Path) -> None:
    (tmp_path / "out.part").write_text("left over, and longer than the new one\n")
    with open_sink(str(tmp_path / "out")) as sink:
        sink.write("new\n")
        sink.commit()
    assert (tmp_path / "out").read_text() == "new\n"


def test_append_adds_rows_to_the_file_itself(tmp_path: Path) -> None:
    path = tmp_path / "out"
    for row in ("one\n", "two\n"):
        with open_sink(str(path), append=True) as sink:
            sink.write(row)
            sink.commit()
    assert path.read_text() == "one\ntwo\n"


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with open_sink(str(tmp_path / "link")) as sink:
        sink.write("x\n")
        sink.commit()
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "x\n"


@pytest.mark.skipif(sys.platform == "win32", reason="no such locks there")
def test_two_runs_do_not_write_one_file(tmp_path: Path) -> None:
    path = str(tmp_path / "out")
    with open_sink(path) as sink:
        with pytest.raises(OutputWriteError, match="another process"):
            open_sink(path)
        sink.write("x\n")
        sink.commit()
    assert (tmp_path / "out").read_text() == "x\n"


@pytest.mark.parametrize("name", ["no/such/folder/out", "."])
def test_a_file_that_cannot_be_opened_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OutputWriteError, match="could not be written"):
        open_sink(name)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_an_output_error() -> None:
    with (
        open_sink("/dev/full") as sink,
        pytest.raises(OutputWriteError, match="/dev/full") as caught,
    ):
        sink.write("x\n")
    assert caught.value.got == "No space left on device"


def test_a_closed_standard_output_is_an_output_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    with pytest.raises(OutputWriteError, match="closed"):
        open_sink(None)


def test_standard_output_is_flushed_after_every_row_and_stays_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BufferedWriter(raw)))
    with open_sink(None) as sink:
        sink.write("上\n")
        assert raw.getvalue() == "上\n".encode()
    assert not sys.stdout.closed
