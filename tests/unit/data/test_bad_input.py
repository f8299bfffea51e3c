"""Files that are not what they should be, and files that are no files: what is said of each."""

from __future__ import annotations

import gzip
import os
import sys
from typing import TYPE_CHECKING

import pytest

from openautoglm.data import open_sink, open_source, writing
from openautoglm.errors import OpenAutoGLMError

if TYPE_CHECKING:
    from pathlib import Path

LINES = b'{"a":1}\n{"a":2}\n'
PACKED = gzip.compress(LINES, mtime=0)
REFUSED = {
    "cut off": ("a.jsonl.gz", PACKED[:-5], "`a.jsonl.gz` ends in the middle"),
    "cut off in its head": ("a.jsonl.gz", PACKED[:5], "`a.jsonl.gz` ends in the middle"),
    "empty": ("a.jsonl.gz", b"", "`a.jsonl.gz` is empty, which no gzip is"),
    "not packed": ("a.jsonl.gz", LINES, "`a.jsonl.gz` is no gzip"),
    "garbage behind": ("a.jsonl.gz", PACKED + b"oag", "goes on with other bytes behind its end"),
    "another sum": ("a.jsonl.gz", PACKED[:-8] + b"\1\2\3\4" + PACKED[-4:], "is damaged"),
    "utf-32": ("a.jsonl", '{"a":1}'.encode("utf-32"), "iconv -f UTF-32"),
    "utf-16": ("a.csv", "a,b\n".encode("utf-16"), "iconv -f UTF-16"),
    "a header without an end": ("a.csv", b'a,"b\n1,2\n', "a quote begins and never ends"),
    "carriage returns alone": ("a.csv", b"a,b\r1,2\r", "end lines with a line feed"),
    "a column twice": ("a.csv", b"a,a\n1,2\n", "has the column `a` twice"),
    "no Parquet": ("a.parquet", b"a,b\n1,2\n", "`a.parquet` is no whole Parquet file"),
    "an empty Parquet": ("a.parquet", b"", "`a.parquet` is no whole Parquet file"),
}
BAD_ROWS = {
    "JSON over many lines": ("a.jsonl", b"[\n" + LINES, 3, "a.jsonl:1: .*jq -c '.\\[\\]'"),
    "a pretty object": ("a.jsonl", b'{\n"a": 1}\n', 2, "a.jsonl:1: .*jq -c . FILE"),
    "a NUL": ("a.jsonl", b'{"a":"x\0"}\n' + LINES, 3, "a.jsonl:1: the line is not JSON"),
    "a hole of a crash": ("a.jsonl", b"\0\0\0\n" + LINES, 3, "a.jsonl:1: the line is not JSON"),
    "half of a pair": ("a.jsonl", b'{"a":"\\ud800"}\n' + LINES, 3, "a.jsonl:1"),
    "brackets without end": ("a.jsonl", b"[" * 100_000 + b"\n" + LINES, 3, "recursion"),
    "two objects a line": ("a.jsonl", b'{"a":1}{"a":2}\n', 1, "trailing characters"),
    "a lone quote": ("a.csv", b'a,b\n1,"x\n2,y\n', 2, "a.csv:2: a quote begins and never ends"),
    "more cells": ("a.csv", b"a,b\n1,2,3\n4,5\n", 2, "a.csv:2: 3 cells, but 2 columns"),
    "fewer cells": ("a.csv", b"a,b\n1\n4,5\n", 2, "a.csv:2: 1 cells, but 2 columns"),
    "latin-1": ("a.csv", b"a,b\n1,\xe9\n2,3\n", 2, "a.csv:2: the record is not UTF-8"),
}


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAUTOGLM_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize("case", REFUSED)
def test_a_file_that_cannot_be_read_is_named_with_what_is_wrong(case: str, tmp_path: Path) -> None:
    name, content, says = REFUSED[case]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(OpenAutoGLMError) as caught:
        list(open_source(tmp_path / name).read())
    assert says in str(caught.value)
    assert "fix:" in str(caught.value)


@pytest.mark.parametrize("case", BAD_ROWS)
def test_a_bad_row_is_named_and_the_rows_behind_it_follow(case: str, tmp_path: Path) -> None:
    name, content, count, says = BAD_ROWS[case]
    (tmp_path / name).write_bytes(content)
    first, *rest = open_source(tmp_path / name).read()
    with pytest.raises(OpenAutoGLMError, match=f"(?s){says}"):
        raise first.error or AssertionError("the row was read")
    assert len(rest) == count - 1
    assert not rest or any(record.error is None for record in rest) or case == "a pretty object"


def test_two_packed_files_in_one_and_zeros_behind_are_fine(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl.gz").write_bytes(PACKED + PACKED + b"\0" * 64)
    assert len(list(open_source(tmp_path / "a.jsonl.gz").read())) == 4


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes with names")
def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "p.jsonl")
    with pytest.raises(OpenAutoGLMError, match=r"(?s)a pipe or a device.*cat .*p\.jsonl"):
        open_source(tmp_path / "p.jsonl")
    with pytest.raises(OpenAutoGLMError, match=r"(?s)a pipe or a device"):
        open_sink(tmp_path / "p.jsonl")
    (tmp_path / "q.jsonl").write_bytes(LINES)
    assert len(list(open_source(f"jsonl://{tmp_path}/").read())) == 2  # in a folder it is no file


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_links_are_followed_and_one_to_nowhere_or_around_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(LINES)
    (tmp_path / "b.jsonl").symlink_to("a.jsonl")
    (tmp_path / "lost.jsonl").symlink_to("nothing.jsonl")
    (tmp_path / "round.jsonl").symlink_to("round.jsonl")
    assert len(list(open_source(tmp_path / "b.jsonl").read())) == 2
    with pytest.raises(OpenAutoGLMError, match=r"leads to `nothing\.jsonl`"):
        open_source(tmp_path / "lost.jsonl")
    with pytest.raises(OpenAutoGLMError, match="symbolic links"):
        open_source(tmp_path / "round.jsonl")


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_a_pattern_reads_no_file_twice_for_a_link_to_its_own_folder(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.jsonl").write_bytes(LINES)
    (tmp_path / "in" / "again").symlink_to(".")
    records = list(open_source(f"{tmp_path}/**/*.jsonl").read())
    assert [record.key for record in records] == ["in/a.jsonl:1", "in/a.jsonl:2"]


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_an_output_over_a_link_goes_where_the_link_leads(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "out.jsonl").symlink_to("disk/out.jsonl")
    for number in (1, 2):
        with writing(open_sink(tmp_path / "out.jsonl")) as sink:
            sink.write([{"n": number}])
    assert (tmp_path / "out.jsonl").is_symlink()
    assert (tmp_path / "disk" / "out.jsonl").read_bytes() == b'{"n":2}\n'
    assert [path.name for path in (tmp_path / "disk").iterdir()] == ["out.jsonl"]


def test_a_name_that_is_too_long_is_an_error_of_ours(tmp_path: Path) -> None:
    name = f"{tmp_path}/{'x' * 300}.jsonl"
    for opened in (open_source, open_sink):
        with pytest.raises(OpenAutoGLMError, match="too long"):
            opened(name)


def test_an_empty_folder_is_told_with_what_was_looked_for(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    with pytest.raises(OpenAutoGLMError, match=r"(?s)in/\*\.jsonl.*pattern"):
        open_source(f"jsonl://{tmp_path}/in/")


def test_files_of_a_pattern_may_have_other_columns_and_the_description_says_so(
    tmp_path: Path,
) -> None:
    (tmp_path / "a.csv").write_text("a,b\n1,2\n")
    (tmp_path / "b.csv").write_text("b,c\n3,4\n")
    (tmp_path / "c.csv").write_text("")
    source = open_source(f"{tmp_path}/*.csv")
    assert [record.values for record in source.read()] == [
        {"a": "1", "b": "2"},
        {"b": "3", "c": "4"},
    ]
    assert source.describe().is_sampled
