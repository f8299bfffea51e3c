from __future__ import annotations

import importlib
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openautoglm.data import Part, open_sink, open_source, writing
from openautoglm.errors import BadRowError, InputDecodeError, SourceChangedError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sized
    from pathlib import Path

pa: Any = importlib.import_module("pyarrow")
pq: Any = importlib.import_module("pyarrow.parquet")


def write(path: Path, table: object, **options: object) -> str:
    pq.write_table(table, path, **options)
    return str(path)


def numbers(path: Path, count: int, group: int) -> str:
    return write(path, pa.table({"n": list(range(count))}), row_group_size=group)


@pytest.mark.parametrize(
    ("group", "rows", "sizes"),
    [
        (10, 30, [30, 30, 30, 10]),
        (40, 10, [10, 10, 10, 10, 10, 10, 10, 10, 10, 10]),
        (30, 20, [15, 15, 15, 15, 15, 15, 10]),
        (100, 1000, [100]),
        (25, 24, [25, 25, 25, 25]),
    ],
)
def test_shards_end_where_row_groups_do_and_divide_large_ones(
    tmp_path: Path, group: int, rows: int, sizes: list[int]
) -> None:
    source = open_source(numbers(tmp_path / "a.parquet", 100, group))
    shards = list(source.shards(rows=rows))
    assert [shard.rows for shard in shards] == sizes
    found = [[r.values["n"] for r in source.read(shard)] for shard in shards]
    assert [len(part) for part in found] == sizes
    assert [n for part in found for n in part] == list(range(100))


def test_small_files_are_merged_into_one_shard(tmp_path: Path) -> None:
    for name in "abc":
        numbers(tmp_path / f"{name}.parquet", 5, 2)
    source = open_source(f"parquet+file://{tmp_path}/")
    assert source.describe().rows == 15
    assert [shard.rows for shard in source.shards(rows=10)] == [10, 5]
    keys = [r.key for r in source.read()]
    assert keys[4:6] == ["a.parquet:5", "b.parquet:1"]


@pytest.mark.parametrize("position", ["0:0:3", "0:9:0", "1:0:0", "0:1", "0:0:-1"])
def test_a_position_that_is_behind_no_row_is_refused(tmp_path: Path, position: str) -> None:
    source = open_source(numbers(tmp_path / "a.parquet", 4, 2))
    with pytest.raises(SourceChangedError):
        list(source.read(resume_from=position))


def test_every_type_is_read_as_what_json_holds(tmp_path: Path) -> None:
    moment = datetime(2026, 11, 23, 1, 2, 3, tzinfo=UTC)
    columns = {
        "when": pa.array([moment], pa.timestamp("ns", "UTC")),
        "day": pa.array([date(2026, 11, 23)]),
        "price": pa.array([Decimal("12.50")]),
        "took": pa.array([timedelta(seconds=90)], pa.duration("ns")),
        "raw": pa.array([b"oag"]),
        "x": pa.array([float("nan")]),
        "half": pa.array([0.5], pa.float32()),
        "map": pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int64())),
        "deep": pa.array([[{"at": moment}]], pa.list_(pa.struct({"at": pa.timestamp("ns")}))),
        "word": pa.array(["a"]).dictionary_encode(),
        "none": pa.nulls(1),
    }
    source = open_source(write(tmp_path / "a.parquet", pa.table(columns)))
    (record,) = source.read()
    assert record.values == {
        "when": "2026-11-23T01:02:03+00:00",
        "day": "2026-11-23",
        "price": "12.50",
        "took": "PT90S",
        "raw": "b2Fn",
        "x": None,
        "half": 0.5,
        "map": {"a": 1},
        "deep": [{"at": "2026-11-23T01:02:03"}],
        "word": "a",
        "none": None,
    }
    kinds = {column.name: column.kind for column in source.describe().columns}
    assert kinds["when"] == kinds["price"] == kinds["raw"] == kinds["word"] == "text"
    assert (kinds["x"], kinds["map"], kinds["deep"]) == ("number", "object", "list")


def test_a_value_that_cannot_be_read_is_a_bad_row_among_good_ones(tmp_path: Path) -> None:
    times = pa.array([0, -99_999_999_999_999_999, 0], pa.int64()).cast(pa.timestamp("us"))
    texts = pa.array([b"a", b"b", b"\xff"], pa.binary()).view(pa.string())
    source = open_source(write(tmp_path / "a.parquet", pa.table({"at": times, "t": texts})))
    first, second, third = source.read()
    assert first.values["t"] == "a"
    for number, record in ((2, second), (3, third)):
        assert isinstance(record.error, BadRowError)
        assert f"a.parquet:{number}" in record.error.problem


@pytest.mark.parametrize("kept", [0, 3, 100, -1])
def test_a_file_that_is_not_whole_is_named(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "a.parquet"
    numbers(path, 1000, 100)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(InputDecodeError, match=r"`a\.parquet` is no whole Parquet file"):
        open_source(path).describe()


def test_a_damaged_row_group_is_named_and_the_rows_before_it_come(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    table = pa.table({"t": [f"text {n} {n * 7919}" for n in range(2000)]})
    write(path, table, row_group_size=1000, compression="zstd", use_dictionary=False)
    begin = pq.ParquetFile(path).metadata.row_group(1).column(0).data_page_offset
    content = bytearray(path.read_bytes())
    content[begin + 40 : begin + 400] = b"\xff" * 360
    path.write_bytes(content)
    rows = open_source(path).read()
    assert [next(rows).key for _ in range(1000)][-1] == "a.parquet:1000"
    with pytest.raises(InputDecodeError, match="row group 1"):
        next(rows)


def test_a_column_twice_is_refused(tmp_path: Path) -> None:
    table = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"])
    with pytest.raises(InputDecodeError, match="column `a` twice"):
        open_source(write(tmp_path / "a.parquet", table)).describe()


def test_rows_are_decoded_as_they_are_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from openautoglm.data.formats import arrow, parquet

    monkeypatch.setattr(parquet, "BATCH_BYTES", 1000)
    source = open_source(numbers(tmp_path / "a.parquet", 100_000, 50_000))
    seen: list[int] = []
    rows_of = arrow.rows_of

    def noted(batch: Sized) -> Iterator[object]:
        seen.append(len(batch))
        return rows_of(batch)

    monkeypatch.setattr(parquet, "rows_of", noted)
    rows = source.read()
    for _ in range(5):
        next(rows)
    assert sum(seen) <= parquet.MOST_BATCH_ROWS


LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 63) - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
)
CELLS = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner),
    max_leaves=5,
)


@settings(max_examples=50)
@given(rows=st.lists(st.fixed_dictionaries({"a": CELLS, "b": LEAVES}), min_size=1, max_size=8))
def test_what_is_written_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, object]]
) -> None:
    path = tmp_path_factory.mktemp("parquet") / "a.parquet"
    with writing(open_sink(path)) as sink:
        sink.write(rows[:3])
        sink.write(rows[3:])
    found = [dict(r.values) for r in open_source(path).read()]
    assert len(found) == len(rows)
    for row, back in zip(rows, found, strict=True):
        assert without_nulls(back) == without_nulls(row)


def without_nulls(value: object) -> object:
    """A value without the fields that are null, which Parquet does not tell from absent ones."""
    if isinstance(value, dict):
        return {name: without_nulls(v) for name, v in value.items() if v is not None}
    if isinstance(value, list):
        return [without_nulls(item) for item in value]
    return value


def test_columns_get_types_that_hold_all_their_rows(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    with writing(open_sink(path)) as sink:
        sink.write([{"n": 1, "x": 1, "o": {"a": 1}, "m": 1, "e": {}}])
        sink.write([{"x": 0.5, "o": {"b": ["t"]}, "m": "one", "z": None}])
    schema = pq.read_schema(path)
    assert str(schema.field("n").type) == "int64"
    assert str(schema.field("x").type) == "double"
    assert schema.field("o").type.num_fields == 2
    assert [str(schema.field(name).type) for name in "mez"] == ["string"] * 3
    described = open_source(path).describe()
    assert [c.kind for c in described.columns] == [
        "integer",
        "number",
        "object",
        "any",
        "any",
        "text",
    ]
    first, second = (dict(r.values) for r in open_source(path).read())
    assert (first["m"], second["m"], first["e"], second["n"]) == (1, "one", {}, None)


def test_parts_may_have_columns_of_their_own_and_an_empty_part_is_one(tmp_path: Path) -> None:
    url = f"parquet+file://{tmp_path}/out/"
    rows: list[list[dict[str, object]]] = [[], [{"n": 1}], [{"n": "one", "m": 2}]]
    for shard, part in enumerate(rows):
        with writing(open_sink(url, part=Part(job="j", shard=shard))) as sink:
            sink.write(part)
    again = open_sink(url, part=Part(job="j", shard=2, attempt=2))
    receipt = again.committed()
    again.abort()
    assert receipt is not None
    assert receipt.rows == 1
    assert [r.values for r in open_source(url).read()] == [{"n": 1}, {"n": "one", "m": 2}]


def test_rows_are_written_in_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from openautoglm.data.formats import row_spool

    monkeypatch.setattr(row_spool, "BLOCK_ROWS", 10)
    with writing(open_sink(tmp_path / "a.parquet")) as sink:
        sink.write([{"n": n} for n in range(25)])
    assert pq.ParquetFile(tmp_path / "a.parquet").metadata.num_row_groups == 3
    assert [p.name for p in tmp_path.iterdir()] == ["a.parquet"]
