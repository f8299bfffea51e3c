from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openautoglm.data import Part, Record, open_sink, open_source, writing
from openautoglm.data.formats import lines
from openautoglm.data.seal import unsealed
from openautoglm.errors import (
    BadRowError,
    DataUrlError,
    InputDecodeError,
    InvalidParameterError,
    OutputWriteError,
    SinkConflictError,
    SourceChangedError,
)

Write = Callable[[str, bytes], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def written(name: str, content: bytes) -> Path:
        (tmp_path / name).write_bytes(content)
        return tmp_path / name

    return written


def values(records: object) -> list[object]:
    assert hasattr(records, "__iter__")
    return [r.values if r.error is None else type(r.error) for r in records]


def test_rows_come_in_order_with_line_numbers_and_blank_lines_count(write: Write) -> None:
    path = write("a.jsonl", b'\xef\xbb\xbf{"n":1}\r\n\n  \n{"n":2}\n{"n":3}')
    records = list(open_source(path).read())
    assert values(records) == [{"n": 1}, {"n": 2}, {"n": 3}]
    assert [record.key for record in records] == ["a.jsonl:1", "a.jsonl:4", "a.jsonl:5"]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b'{"n":', "not JSON"),
        (b"[1]", "no object"),
        (b'"text"', "no object"),
        (b'{"n": NaN}', "not JSON"),
        (b'{"t": "\xff"}', "not JSON"),
        (b"[" * 100_000, "not JSON"),
    ],
)
def test_a_bad_row_is_a_record_with_the_line_and_the_rows_behind_it_follow(
    write: Write, line: bytes, says: str
) -> None:
    path = write("a.jsonl", b'{"n":1}\n' + line + b'\n{"n":3}\n')
    first, bad, last = open_source(path).read()
    assert (first.values, last.values) == ({"n": 1}, {"n": 3})
    assert isinstance(bad.error, BadRowError)
    assert bad.values == {}
    assert "a.jsonl:2" in bad.error.problem
    assert says in bad.error.problem


def test_a_line_without_end_costs_no_memory_and_one_row(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "MAX_ROW_BYTES", 20)
    path = write("a.jsonl", b'{"t":"' + b"x" * 40 + b'"}\n{"n":2}\n' + b"y" * 50)
    long, short, unended = open_source(path).read()
    assert isinstance(long.error, BadRowError)
    assert short.values == {"n": 2}
    assert isinstance(unended.error, BadRowError)


def test_a_folder_and_a_pattern_are_read_as_one_source_without_hidden_files(
    tmp_path: Path, write: Write
) -> None:
    write("b.jsonl", b'{"n":3}\n')
    write("a.jsonl", b'{"n":1}\n{"n":2}\n')
    write(".c.jsonl", b'{"n":4}\n')
    write("d.txt", b"nothing")
    for url in (f"jsonl+file://{tmp_path}/", f"jsonl://{tmp_path}/?.jsonl"[:-7] + "*.jsonl"):
        source = open_source(url)
        assert values(source.read()) == [{"n": 1}, {"n": 2}, {"n": 3}]
        assert set(source.describe().fingerprint) == {"a.jsonl", "b.jsonl"}


def test_a_description_samples_columns_and_tells_that_a_file_changed(write: Write) -> None:
    path = write("a.jsonl", b'{"id":1,"text":"a","s":1}\n{"id":2,"text":null,"s":0.5}\n{broken}\n')
    before = open_source(path).describe()
    columns = [(c.name, c.kind, c.nullable) for c in before.columns]
    assert columns == [
        ("id", "integer", False),
        ("text", "text", True),
        ("s", "number", False),
    ]
    assert before.is_sampled
    assert before.size_bytes == path.stat().st_size
    path.write_bytes(path.read_bytes() + b"{}\n")
    assert open_source(path).describe().fingerprint != before.fingerprint


def test_a_file_that_changed_since_it_was_opened_is_refused(write: Write) -> None:
    path = write("a.jsonl", b'{"n":1}\n{"n":2}\n')
    source = open_source(path)
    first = next(source.read())
    path.write_bytes(path.read_bytes() + b'{"n":3}\n')
    with pytest.raises(SourceChangedError, match=r"`a\.jsonl` changed"):
        list(source.read(resume_from=first.position))
    rest = open_source(path).read(resume_from=first.position)
    assert values(rest) == [{"n": 2}, {"n": 3}]


def test_a_file_of_another_encoding_is_refused_with_the_way_to_change_it(write: Write) -> None:
    path = write("a.jsonl", '{"n":1}\n'.encode("utf-16"))
    with pytest.raises(InputDecodeError, match="UTF-16") as caught:
        list(open_source(path).read())
    assert "iconv" in str(caught.value)


def test_files_of_one_name_in_several_folders_are_told_apart(tmp_path: Path) -> None:
    for name in ("b", "a"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "rows.jsonl").write_text(f'{{"n":"{name}"}}\n')
    for pattern in ("*/rows.jsonl", "**/*.jsonl"):
        source = open_source(f"jsonl+file://{tmp_path}/{pattern}")
        assert [record.key for record in source.read()] == ["a/rows.jsonl:1", "b/rows.jsonl:1"]
        assert set(source.describe().fingerprint) == {"a/rows.jsonl", "b/rows.jsonl"}


ROWS = st.lists(
    st.one_of(
        st.dictionaries(
            st.text(max_size=5), st.one_of(st.integers(-9, 9), st.text()), max_size=3
        ).map(lambda row: json.dumps(row).encode()),
        st.sampled_from([b"", b"   ", b"{broken", b"[]", b'{"t":"\xff"}']),
    ),
    max_size=25,
)


@given(
    lines=ROWS,
    rows=st.integers(1, 7),
    newline=st.sampled_from([b"\n", b"\r\n"]),
    split=st.integers(0, 25),
)
def test_shards_cover_every_row_once_and_reading_goes_on_from_any_row(
    tmp_path_factory: pytest.TempPathFactory,
    lines: list[bytes],
    rows: int,
    newline: bytes,
    split: int,
) -> None:
    folder = tmp_path_factory.mktemp("rows")
    (folder / "a.jsonl").write_bytes(newline.join(lines[:split]))
    (folder / "b.jsonl").write_bytes(newline.join(lines[split:]) + newline)
    url = f"jsonl+file://{folder}/"
    source = open_source(url)
    whole = [(r.key, r.position, r.values) for r in source.read()]
    shards = list(source.shards(rows=rows))
    assert [shard.index for shard in shards] == list(range(len(shards)))
    in_shards = [list(open_source(url).read(shard)) for shard in shards]
    assert [len(records) for records in in_shards] == [shard.rows for shard in shards]
    assert [(r.key, r.position, r.values) for records in in_shards for r in records] == whole
    for number, (_, position, _) in enumerate(whole):
        assert keys(source.read(resume_from=position)) == [k for k, _, _ in whole[number + 1 :]]
    for shard, records in zip(shards, in_shards, strict=True):
        for number, record in enumerate(records):
            rest = source.read(shard, resume_from=record.position)
            assert keys(rest) == [r.key for r in records[number + 1 :]]


def keys(records: object) -> list[str]:
    assert hasattr(records, "__iter__")
    return [record.key for record in records]


def test_shards_are_yielded_as_they_are_found(write: Write) -> None:
    path = write("a.jsonl", b"{}\n" * 10)
    shards = open_source(path).shards(rows=2)
    first = next(shards)
    assert (first.index, first.start, first.rows) == (0, "0:0:0", 2)
    assert unsealed(first.stop or "")[0] == "0:6:2"


def test_a_shard_of_no_rows_is_refused(write: Write) -> None:
    with pytest.raises(InvalidParameterError):
        list(open_source(write("a.jsonl", b"")).shards(rows=0))


@pytest.mark.parametrize(
    "position", ["", "x", "0:1", "0:3:1", "1:0:0", "0:999:9", "-1:0:0", "0:-1:0"]
)
def test_a_position_that_is_behind_no_line_is_refused(write: Write, position: str) -> None:
    source = open_source(write("a.jsonl", b'{"n":1}\n{"n":2}\n'))
    with pytest.raises(SourceChangedError, match="OAG508"):
        list(source.read(resume_from=position))


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    rows = [{"t": '请\u2028 "x"\n', "n": 1, "f": 0.5, "b": True, "l": [1, {"a": None}]}, {}]
    with writing(open_sink(tmp_path / "out.jsonl")) as sink:
        sink.write(rows[:1])
        sink.write([])
        sink.write(rows[1:])
        assert list(tmp_path.glob("*.jsonl")) == []
    assert values(open_source(tmp_path / "out.jsonl").read()) == rows
    assert [p.name for p in tmp_path.iterdir()] == ["out.jsonl"]


def test_a_whole_output_replaces_what_was_there_only_when_it_is_committed(tmp_path: Path) -> None:
    target = tmp_path / "out.jsonl"
    target.write_text('{"old":1}\n')

    def fail_half_way() -> None:
        with writing(open_sink(target)) as sink:
            sink.write([{"new": 1}])
            raise InvalidParameterError("half way")

    with pytest.raises(InvalidParameterError):
        fail_half_way()
    assert target.read_text() == '{"old":1}\n'
    assert [p.name for p in tmp_path.iterdir()] == ["out.jsonl"]


def test_a_receipt_says_what_lies_where(tmp_path: Path) -> None:
    sink = open_sink(f"jsonl+file://{tmp_path}/out/", part=Part(job="nightly", shard=3))
    assert sink.committed() is None
    sink.write([{"n": 1}, {"n": 2}])
    receipt = sink.commit()
    assert receipt == sink.commit() == sink.committed()
    assert receipt.rows == 2
    assert receipt.size_bytes == os.path.getsize(receipt.url)  # noqa: PTH202 - a text, as given
    again = open_sink(f"jsonl+file://{tmp_path}/out/", part=Part(job="nightly", shard=3, attempt=2))
    assert again.committed() == receipt
    again.abort()


def test_of_two_attempts_the_first_that_commits_stays(tmp_path: Path) -> None:
    url = f"jsonl+file://{tmp_path}/out/"
    slow, fast = (open_sink(url, part=Part(job="j", shard=0, attempt=n)) for n in (1, 2))
    slow.write([{"by": "slow"}])
    fast.write([{"by": "fast"}])
    fast.commit()
    with pytest.raises(SinkConflictError, match="another attempt"):
        slow.commit()
    slow.abort()
    assert values(open_source(url).read()) == [{"by": "fast"}]
    assert len(list((tmp_path / "out").iterdir())) == 1


def test_what_an_attempt_that_died_left_is_not_read_and_is_written_over(tmp_path: Path) -> None:
    url = f"jsonl+file://{tmp_path}/out/"
    dead = open_sink(url, part=Part(job="j", shard=0))
    dead.write([{"n": 1}] * 10_000)
    assert len(list((tmp_path / "out").iterdir())) == 1
    with writing(open_sink(url, part=Part(job="j", shard=0))) as sink:
        sink.write([{"n": 2}])
    assert values(open_source(url).read()) == [{"n": 2}]
    dead.abort()


@pytest.mark.parametrize("row", [{"n": float("nan")}, {"b": b"x"}, {1: 2}, "text", {"t": "\ud800"}])
def test_a_row_that_is_no_json_is_refused_and_none_of_its_batch_is_taken(
    tmp_path: Path, row: dict[str, object]
) -> None:
    with writing(open_sink(tmp_path / "a.jsonl")) as sink:
        sink.write([{"n": 1}])
        with pytest.raises(BadRowError, match="row 3"):
            sink.write([{"n": 2}, row])
    assert values(open_source(tmp_path / "a.jsonl").read()) == [{"n": 1}]


def test_a_sink_that_ended_takes_nothing(tmp_path: Path) -> None:
    for end in ("commit", "abort"):
        sink = open_sink(tmp_path / "a.jsonl")
        getattr(sink, end)()
        sink.abort()
        with pytest.raises(SinkConflictError, match="committed or aborted"):
            sink.write([{}])
    with pytest.raises(SinkConflictError):
        sink.commit()


def test_parts_go_into_folders_and_whole_outputs_into_files(tmp_path: Path) -> None:
    with pytest.raises(DataUrlError, match="parts go into a folder"):
        open_sink(tmp_path / "a.jsonl", part=Part(job="j", shard=0))
    with pytest.raises(DataUrlError, match="name a file"):
        open_sink(f"jsonl+file://{tmp_path}/")


def test_a_place_that_cannot_be_written_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(OutputWriteError, match="does not exist"):
        open_sink(tmp_path / "no" / "a.jsonl")
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputWriteError):
        open_sink(f"jsonl+file://{tmp_path}/file/out/", part=Part(job="j", shard=0))


def test_a_record_shows_no_row_where_there_is_an_error() -> None:
    assert Record(key="a:1", position="1", error=BadRowError("no row")).values == {}
