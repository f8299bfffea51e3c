"""What is read from where, and what is said when it cannot be."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openautoglm.cli.inputs import (
    Reading,
    Record,
    decode,
    find_inputs,
    read_records,
    text_record,
)
from openautoglm.errors import (
    InputDecodeError,
    InputNotFoundError,
    InvalidParameterError,
    PlatformError,
)

READING = Reading()
TEXT = st.text(min_size=1).filter(lambda t: t.strip() and "\0" not in t)


def read(path: Path, reading: Reading = READING) -> list[Record]:
    return list(read_records(find_inputs([str(path)]), reading))


def put(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


@given(TEXT)
def test_what_utf_8_says_is_what_is_read(text: str) -> None:
    if not text.startswith("\ufeff"):
        assert decode(text.encode(), "x", READING) == text


@given(st.binary(max_size=40))
def test_any_bytes_are_a_text_or_an_error_that_names_the_source(data: bytes) -> None:
    stdin = io.TextIOWrapper(io.BytesIO(data))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdin", stdin)
        (record,) = read_records(["-"], READING)
    if record.error is None:
        assert record.text is not None
        assert record.text.encode() == data.removeprefix(b"\xef\xbb\xbf")
    else:
        assert isinstance(record.error, InputDecodeError)
        assert "`-`" in record.error.problem
        assert record.error.fix


@given(st.lists(TEXT, max_size=5))
def test_json_lines_give_their_texts_back_in_order(texts: list[str]) -> None:
    data = "\n".join(json.dumps({"text": t}, ensure_ascii=False) for t in texts)
    stdin = io.TextIOWrapper(io.BytesIO(data.encode()))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdin", stdin)
        records = list(read_records(["-"], Reading(format="jsonl")))
    assert [record.text for record in records] == texts


def test_one_text_file_is_one_record_and_line_ends_stay(tmp_path: Path) -> None:
    path = put(tmp_path / "a.txt", b"one\r\ntwo\n")
    assert read(path) == [Record(source=str(path), text="one\r\ntwo\n")]


def test_a_byte_order_mark_is_dropped_and_still_counts_in_offsets(tmp_path: Path) -> None:
    assert read(put(tmp_path / "a.txt", b"\xef\xbb\xbfhi"))[0].text == "hi"
    (record,) = read(put(tmp_path / "b.txt", b"\xef\xbb\xbfhi\xff"))
    assert record.error is not None
    assert record.error.problem.endswith("is not utf-8 text: byte offset 5")


@pytest.mark.parametrize(
    ("data", "hint"),
    [
        pytest.param("你好，世界".encode("gb18030"), "--encoding gb18030", id="Chinese"),
        pytest.param("hello".encode("utf-16"), "--encoding utf-16", id="UTF-16 with its mark"),
        pytest.param(b"caf\xe9", "--errors replace", id="neither"),
    ],
)
def test_the_encoding_it_may_be_is_suggested(tmp_path: Path, data: bytes, hint: str) -> None:
    (record,) = read(put(tmp_path / "a.txt", data))
    assert isinstance(record.error, InputDecodeError)
    assert record.error.fix is not None
    assert hint in record.error.fix


def test_the_suggested_encodings_work(tmp_path: Path) -> None:
    path = put(tmp_path / "a.txt", "你好".encode("gb18030"))
    assert read(path, Reading(encoding="gb18030"))[0].text == "你好"
    put(path, "你好".encode("utf-16"))
    assert read(path, Reading(encoding="utf-16"))[0].text == "你好"
    put(path, b"caf\xe9")
    assert read(path, Reading(errors="replace"))[0].text == "caf\ufffd"


@pytest.mark.parametrize("encoding", ["gb18030", "utf-16", "utf-32-le"])
def test_json_lines_may_have_any_encoding(tmp_path: Path, encoding: str) -> None:
    rows = '{"text": "上海"}\n{"text": "ਊ\u2028 is no end of a line"}\n'  # U+0A0A holds 0x0A twice
    path = put(tmp_path / "a.jsonl", rows.encode(encoding))
    texts = [record.text for record in read(path, Reading(encoding=encoding))]
    assert texts == ["上海", "ਊ\u2028 is no end of a line"]


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        pytest.param(b"", "holds no text", id="empty"),
        pytest.param(b" \n\t", "holds no text", id="white space"),
        pytest.param(b"PK\x03\x04\0\0", "a NUL at character 4", id="binary"),
    ],
)
def test_a_file_without_text_is_a_record_with_an_error(
    tmp_path: Path, data: bytes, problem: str
) -> None:
    (record,) = read(put(tmp_path / "a.txt", data))
    assert isinstance(record.error, InputDecodeError)
    assert problem in record.error.problem


@pytest.mark.parametrize(
    ("line", "problem", "fix"),
    [
        (b"{", "is no JSON", "one JSON object"),
        (b"[" * 100_000, "is no JSON", "one JSON object"),
        (b'"text"', "is no JSON object", '{"text"'),
        (b'{"txt": "a"}', "has no field `text`", "did you mean `txt`?"),
        (b"{}", "has no field `text`", "--field"),
        (b'{"text": 5}', "is no text", "--field"),
        (b'{"text": ""}', "holds no text", "leave it out"),
        (b'{"text": "\\ud800"}', "half a surrogate pair", "UTF-8"),
        (b'{"text": "\xff"}', "byte offset 10", "--errors"),
    ],
)
def test_a_bad_line_is_an_error_at_its_number_and_the_others_are_read(
    tmp_path: Path, line: bytes, problem: str, fix: str
) -> None:
    path = put(tmp_path / "a.jsonl", b'{"text": "one"}\n\n' + line + b'\n{"text": "two"}')
    first, bad, last = read(path)
    assert (first.text, last.text) == ("one", "two")
    assert bad.source == f"{path}:3"
    assert isinstance(bad.error, InputDecodeError)
    assert problem in bad.error.problem
    assert fix in str(bad.error.fix)


def test_a_row_keeps_its_other_fields_and_the_text_may_be_called_otherwise(tmp_path: Path) -> None:
    path = put(tmp_path / "a.NDJSON", b'{"id": 7, "body": "x"}')
    (record,) = read(path, Reading(text_field="body"))
    assert (record.text, record.row["id"]) == ("x", 7)


def test_a_quoted_glob_is_expanded_in_order_and_skips_folders(tmp_path: Path) -> None:
    for name in ("b.txt", "a.txt", "deep/c.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        put(tmp_path / name, b"x")
    (tmp_path / "folder.txt").mkdir()
    found = [Path(p).name for p in find_inputs([f"{tmp_path}/**/*.txt"])]
    assert found == ["a.txt", "b.txt", "c.txt"]


def test_a_file_whose_name_looks_like_a_glob_is_that_file(tmp_path: Path) -> None:
    path = put(tmp_path / "a[1].txt", b"x")
    assert find_inputs([str(path)]) == (str(path),)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("nope.txt", "no such file"),
        ("*.nope", "no file matches"),
        (".", "is a folder"),
        ("no/such/folder/a.txt", "no such file"),
    ],
)
def test_an_input_that_is_not_there_is_refused_before_anything_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, problem: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputNotFoundError, match=problem):
        find_inputs([name])


def test_a_name_that_is_nearly_right_is_suggested(tmp_path: Path) -> None:
    put(tmp_path / "complaint.txt", b"x")
    with pytest.raises(InputNotFoundError) as caught:
        find_inputs([str(tmp_path / "complain.txt")])
    assert caught.value.fix == f"did you mean `{tmp_path / 'complaint.txt'}`?"


def test_standard_input_is_read_once_and_must_be_open(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidParameterError, match="can be read once"):
        find_inputs(["-", "-"])
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(InputNotFoundError, match="standard input is closed"):
        find_inputs(["-"])


@pytest.mark.skipif(sys.platform != "linux", reason="needs a file that opens and cannot be read")
@pytest.mark.parametrize("form", ["text", "jsonl"])
def test_a_device_that_fails_is_an_error_of_its_record(form: str) -> None:
    reading = Reading(format="jsonl" if form == "jsonl" else "text")
    (record,) = read_records(["/proc/self/mem"], reading)
    assert isinstance(record.error, PlatformError | InputNotFoundError)
    assert record.source == "/proc/self/mem"


@pytest.mark.parametrize("encoding", ["utf-9", "rot13", "hex"])
def test_an_encoding_that_is_none_of_text_is_refused(encoding: str) -> None:
    with pytest.raises(InvalidParameterError, match=encoding):
        Reading(encoding=encoding)


def test_a_text_on_the_command_line_is_checked_too() -> None:
    assert text_record("hi") == Record(source="--text", text="hi")
    for bad in ("", "\udcff"):
        with pytest.raises(InputDecodeError, match="--text"):
            text_record(bad)
