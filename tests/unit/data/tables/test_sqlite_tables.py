"""Tables of SQLite as sources and sinks: what the suites do not ask."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openautoglm.data import Part, open_sink, open_source, writing
from openautoglm.data.seal import unsealed
from openautoglm.errors import (
    BadRowError,
    DataUrlError,
    InputNotFoundError,
    OutputWriteError,
    SinkConflictError,
    SourceChangedError,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Shop = Callable[[str], str]


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """A function that runs SQL in a database and returns its URL, without a table."""

    def made(script: str) -> str:
        path = tmp_path / "shop.db"
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.executescript(script)
        return f"sqlite:///{path}"

    return made


REVIEWS = """
CREATE TABLE reviews(id INTEGER PRIMARY KEY, text TEXT);
INSERT INTO reviews SELECT value, 'r' || value FROM
  (WITH RECURSIVE n(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n WHERE value < 10)
   SELECT value FROM n);
"""


def values(url: str) -> list[object]:
    return [dict(record.values) for record in open_source(url).read()]


def test_values_come_as_their_columns_say(shop: Shop) -> None:
    url = shop(
        "CREATE TABLE t(id INTEGER PRIMARY KEY, is_new BOOLEAN, tags JSON, raw BLOB, at DATE,"
        " price DECIMAL, n);"
        "INSERT INTO t VALUES (1, 1, '[1,{}]', x'6f6167', '2026-11-23', 12.5, 1e999),"
        " (2, 0, 'no json', NULL, NULL, '7', 'any'), (3, NULL, '\"a\"', x'', 'x', 3, 2.5);"
    )
    assert values(f"{url}?table=t") == [
        {
            "id": 1,
            "is_new": True,
            "tags": [1, {}],
            "raw": "b2Fn",
            "at": "2026-11-23",
            "price": 12.5,
            "n": None,
        },
        {
            "id": 2,
            "is_new": False,
            "tags": "no json",
            "raw": None,
            "at": None,
            "price": 7,
            "n": "any",
        },
        {"id": 3, "is_new": None, "tags": "a", "raw": "", "at": "x", "price": 3, "n": 2.5},
    ]
    kinds = {c.name: c.kind for c in open_source(f"{url}?table=t").describe().columns}
    assert kinds["is_new"] == "boolean"
    assert kinds["id"] == "integer"


@pytest.mark.parametrize("key", ["", "&key=id", "&key=rowid"])
def test_keys_name_rows_whatever_happens_elsewhere(shop: Shop, key: str) -> None:
    url = f"{shop(REVIEWS)}?table=reviews{key}"
    records = list(open_source(url).read())
    assert [record.key for record in records[:2]] == ["reviews:1", "reviews:2"]
    shop("DELETE FROM reviews WHERE id IN (1, 2, 5); INSERT INTO reviews VALUES (99, 'new')")
    rest = [r.key for r in open_source(url).read(resume_from=records[3].position)]
    assert rest == [f"reviews:{n}" for n in (6, 7, 8, 9, 10, 99)]


def test_a_shard_with_other_rows_than_planned_is_refused_before_its_first_row(shop: Shop) -> None:
    url = f"{shop(REVIEWS)}?table=reviews"
    shards = list(open_source(url).shards(rows=4))
    ends = [(unsealed(shard.stop or "")[0], shard.rows) for shard in shards]
    assert ends == [("[4]", 4), ("[8]", 4), ("[10]", 2)]
    shop("DELETE FROM reviews WHERE id = 6; INSERT INTO reviews VALUES (11, 'new')")
    source = open_source(url)
    assert len(list(source.read(shards[0]))) == 4
    with pytest.raises(SourceChangedError, match="shard 1"):
        next(source.read(shards[1]))
    assert len(list(source.read(shards[2]))) == 2  # what is behind the plan is not read


def test_a_shard_that_loses_rows_while_it_is_read_ends_in_an_error(shop: Shop) -> None:
    url = shop(
        "CREATE TABLE t(id INTEGER PRIMARY KEY);"
        "WITH RECURSIVE n(v) AS (SELECT 1 UNION ALL SELECT v + 1 FROM n WHERE v < 50)"
        " INSERT INTO t SELECT v FROM n;"
    )
    source = open_source(f"{url}?table=t")
    (shard,) = source.shards(rows=50)
    records = source.read(shard)
    next(records)
    shop("DELETE FROM t WHERE id > 40")
    with pytest.raises(SourceChangedError, match="of 50 rows, has 40 rows"):
        list(records)


def test_reading_holds_nothing_that_keeps_others_from_writing(shop: Shop) -> None:
    url = shop(REVIEWS)
    records = open_source(f"{url}?table=reviews").read()
    next(records)
    with writing(open_sink(f"{url}?table=answers")) as sink:
        sink.write([{"id": 1}])
    assert len(list(records)) == 9


@pytest.mark.parametrize(
    ("script", "option", "says"),
    [
        ("CREATE TABLE t(a TEXT PRIMARY KEY); INSERT INTO t VALUES (NULL)", "", "null"),
        ("CREATE TABLE t(a); INSERT INTO t VALUES (1), (2), (2)", "&key=a", r"key \[2\]"),
        ("CREATE TABLE t(a); INSERT INTO t VALUES (x'00')", "&key=a", "bytes"),
        ("CREATE TABLE t(a); INSERT INTO t VALUES (CAST(x'ff' AS TEXT))", "&key=a", "Undecodable"),
    ],
)
def test_a_key_that_does_not_name_each_row_is_refused(
    shop: Shop, script: str, option: str, says: str
) -> None:
    source = open_source(f"{shop(script)}?table=t{option}")
    for verb in (source.describe, lambda: list(source.shards(rows=2)), lambda: list(source.read())):
        with pytest.raises(DataUrlError, match=says):
            verb()


def test_the_fingerprint_tells_of_rows_and_columns_and_of_another_query(shop: Shop) -> None:
    url = shop(REVIEWS)
    seen = set()

    def look(asked: str) -> None:
        seen.add(str(open_source(f"{url}?{asked}").describe().fingerprint))

    look("table=reviews")
    shop("INSERT INTO reviews VALUES (11, 'x')")
    look("table=reviews")
    shop("DELETE FROM reviews WHERE id = 1; INSERT INTO reviews VALUES (12, 'x')")
    look("table=reviews")
    shop("ALTER TABLE reviews ADD COLUMN more TEXT")
    look("table=reviews")
    look("query=SELECT id FROM reviews")
    look("query=SELECT id FROM  reviews")
    assert len(seen) == 6


def test_a_query_without_a_key_notices_that_its_rows_are_others(shop: Shop) -> None:
    url = shop(REVIEWS) + "?query=SELECT text FROM reviews ORDER BY id"  # noqa: S608 - a path
    source = open_source(url)
    records = list(source.read())
    (shard,) = source.shards(rows=3)
    assert shard.rows == 10
    shop("UPDATE reviews SET text = 'other' WHERE id = 4")
    assert len(list(open_source(url).read(resume_from=records[2].position))) == 7
    for number in (3, 4):
        with pytest.raises(SourceChangedError, match=f"first {number + 1} rows are others"):
            list(open_source(url).read(resume_from=records[number].position))
    with pytest.raises(SourceChangedError, match="others, or in another order"):
        next(open_source(url).read(shard))
    shop("DELETE FROM reviews WHERE id > 4")
    with pytest.raises(SourceChangedError, match="there are 4 rows"):
        list(open_source(url).read(resume_from=records[4].position))
    with pytest.raises(SourceChangedError, match="instead of 10"):
        list(open_source(url).read(shard))


@pytest.mark.parametrize(
    ("asked", "error", "says"),
    [
        ("", DataUrlError, "table or by a query"),
        ("table=reviews&query=SELECT 1", DataUrlError, "table or by a query"),
        ("table=revews", InputNotFoundError, "did you mean `reviews`"),
        ("table=reviews&key=idd", DataUrlError, "did you mean `id`"),
        ("query=SELECT text FROM reviews&key=id", DataUrlError, "no column `id`"),
        ("query=SELEC 1", InputNotFoundError, "syntax error"),
        ("query=DELETE FROM reviews", InputNotFoundError, "syntax error"),
        ("query=SELECT 1) AS r; DELETE FROM reviews; --", InputNotFoundError, "one statement"),
        ("table=a%00b", DataUrlError, "no name"),
        ("table=reviews&keys=id", DataUrlError, "did you mean `key`"),
    ],
)
def test_what_cannot_be_read_is_refused_when_it_is_opened(
    shop: Shop, asked: str, error: type[Exception], says: str
) -> None:
    url = shop(REVIEWS)
    with pytest.raises(error, match=says):
        open_source(f"{url}?{asked}").describe()
    assert len(values(f"{url}?table=reviews")) == 10


def test_names_are_only_names_whatever_they_hold(tmp_path: Path) -> None:
    evil = 'x"; DROP TABLE keep; --'
    url = f"sqlite:///{tmp_path}/shop.db"
    with writing(open_sink(url, table="keep")) as sink:
        sink.write([{"a": 1}])
    rows = [{evil: "1", "select": "2", "请 %s ? :x": "3"}]
    with writing(open_sink(url, table=evil)) as sink:
        sink.write(rows)
    assert [dict(r.values) for r in open_source(url, table=evil).read()] == rows
    assert [dict(r.values) for r in open_source(url, table=evil, key=evil).read()] == rows
    assert values(f"{url}?table=keep") == [{"a": 1}]


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("sqlite://", "names no file"),
        ("sqlite:///:memory:?table=t", "names no file"),
        ("sqlite:///no.db?table=t", "no such file"),
        ("sqlite://{tmp}/shop.db?table=t", "four slashes"),
        ("sqlite:///{tmp}?table=t", "folder"),
        ("sqlite:///{tmp}/text.db?table=t", "no SQLite file"),
    ],
)
def test_a_file_that_is_none_is_refused(tmp_path: Path, url: str, says: str) -> None:
    (tmp_path / "shop.db").touch()
    (tmp_path / "text.db").write_text("text")
    with pytest.raises((DataUrlError, InputNotFoundError), match=says):
        open_source(url.replace("{tmp}", str(tmp_path)), table="t")


def test_a_relative_path_has_three_slashes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with writing(open_sink("sqlite:///here.db?table=t")) as sink:
        sink.write([{"n": 1}])
    assert values(f"sqlite:///{tmp_path}/here.db?table=t") == [{"n": 1}]


def test_a_new_column_of_a_later_part_is_named_with_what_to_do(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/out.db?table=answers"
    with writing(open_sink(url, part=Part(job="j", shard=0))) as sink:
        sink.write([{"id": 1, "text": "a"}])
    later = open_sink(url, part=Part(job="j", shard=1))
    with pytest.raises(BadRowError, match="`score`") as caught:
        later.write([{"id": 2, "score": 0.5}])
    assert 'ALTER TABLE "answers" ADD COLUMN "score" REAL' in str(caught.value)
    with pytest.raises(BadRowError, match="holds integer, not text"):
        later.write([{"id": "two"}])
    later.write([{"id": 2}])
    later.commit()
    assert values(url) == [{"id": 1, "text": "a"}, {"id": 2, "text": None}]


def test_a_column_that_only_the_commit_finds_missing_leaves_nothing_behind(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/out.db?table=answers"
    first, second = (open_sink(url, part=Part(job="j", shard=n)) for n in range(2))
    first.write([{"id": 1}])
    second.write([{"id": 2, "score": 1}])
    first.commit()
    with pytest.raises(OutputWriteError, match="ADD COLUMN"):
        second.commit()
    assert open_sink(url, part=Part(job="j", shard=1, attempt=2)).committed() is None
    with closing(sqlite3.connect(tmp_path / "out.db")) as connection, connection:
        connection.execute("ALTER TABLE answers ADD COLUMN score INTEGER")
    second.commit()
    assert values(url) == [{"id": 1, "score": None}, {"id": 2, "score": 1}]


def test_parts_of_other_jobs_and_tables_do_not_hinder_each_other(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/out.db"
    for table in ("a", "b"):
        for job in ("one", "two"):
            with writing(open_sink(url, table=table, part=Part(job=job, shard=0))) as sink:
                sink.write([{"job": job}])
    assert values(f"{url}?table=a") == [{"job": "one"}, {"job": "two"}]
    with closing(sqlite3.connect(tmp_path / "out.db")) as connection:
        assert connection.execute("SELECT count(*) FROM _oag_commit").fetchone() == (4,)


def test_a_whole_output_replaces_rows_and_keeps_the_table_or_adds_to_it(shop: Shop) -> None:
    url = f"{shop(REVIEWS + 'CREATE INDEX i ON reviews(text);')}?table=reviews"
    for mode, count in (("append", 11), ("append", 12), ("replace", 1)):
        with writing(open_sink(url, mode=mode)) as sink:
            sink.write([{"id": count + 100, "text": mode}])
        assert len(values(url)) == count
    with pytest.raises(DataUrlError, match="no mode `upsert`"):
        open_sink(url, mode="upsert")
    with pytest.raises(DataUrlError, match="replace nothing"):
        open_sink(url, mode="replace", part=Part(job="j", shard=0))


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({}, "no columns"),
        ({"": 1}, "is empty"),
        ({"n": 2**63}, "64 bits"),
        ({"n": float("nan")}, "as JSON"),
        ({"t": "\ud800"}, "as JSON"),
        ({"a": 1, "A": 2}, "are one to SQLite"),
        ({"id": None}, "its key"),
    ],
)
def test_a_row_that_does_not_fit_is_refused_and_none_of_its_batch_is_taken(
    tmp_path: Path, row: dict[str, object], says: str
) -> None:
    key = "&key=id" if "id" in row else ""
    url = f"sqlite:///{tmp_path}/out.db?table=t{key}"
    with writing(open_sink(url)) as sink:
        sink.write([{"id": 1}])
        with pytest.raises(BadRowError, match=says):
            sink.write([{"id": 2, "new": 1}, row])
    assert values(url) == [{"id": 1}]


def test_a_sink_that_cannot_write_says_so_at_once(tmp_path: Path) -> None:
    with pytest.raises(OutputWriteError, match="does not exist"):
        open_sink(f"sqlite:///{tmp_path}/no/out.db?table=t")
    with pytest.raises(DataUrlError, match="sqlite_"):
        open_sink(f"sqlite:///{tmp_path}/out.db?table=sqlite_x")
    with pytest.raises(DataUrlError, match=r"add \?table=NAME"):
        open_sink(f"sqlite:///{tmp_path}/out.db")
    assert list(tmp_path.iterdir()) == []


def test_keys_that_are_there_refuse_the_whole_part(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/out.db?table=t&key=id"
    with writing(open_sink(url, part=Part(job="j", shard=0))) as sink:
        sink.write([{"id": 1}])
    later = open_sink(url, part=Part(job="j", shard=1))
    later.write([{"id": 2}, {"id": 1}])
    with pytest.raises(OutputWriteError, match="UNIQUE"):
        later.commit()
    later.abort()
    assert values(url) == [{"id": 1}]
    with pytest.raises(SinkConflictError):
        later.write([{"id": 3}])


def test_rows_of_megabytes_come_a_few_at_a_time(shop: Shop) -> None:
    url = shop(
        "CREATE TABLE t(id INTEGER PRIMARY KEY, text TEXT);"
        "WITH RECURSIVE n(v) AS (SELECT 1 UNION ALL SELECT v + 1 FROM n WHERE v < 20)"
        " INSERT INTO t SELECT v, printf('%.*c', 1000000, 'x') FROM n;"
    )
    records = list(open_source(f"{url}?table=t").read())
    assert [len(str(record.values["text"])) for record in records] == [1_000_000] * 20


CELL = st.one_of(
    st.none(), st.integers(-(2**63), 2**63 - 1), st.text(), st.booleans(), st.lists(st.integers())
)


@settings(max_examples=30)
@given(
    rows=st.lists(
        st.dictionaries(st.sampled_from(["a", "b", "c"]), CELL, min_size=1), min_size=1, max_size=9
    )
)
def test_what_is_written_is_read_back_with_null_for_what_is_missing(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, object]]
) -> None:
    url = f"sqlite:///{tmp_path_factory.mktemp('db')}/out.db?table=t"
    with writing(open_sink(url)) as sink:
        for row in rows:
            sink.write([row])
    names = dict.fromkeys(name for row in rows for name in row)
    assert values(url) == [{name: row.get(name) for name in names} for row in rows]
