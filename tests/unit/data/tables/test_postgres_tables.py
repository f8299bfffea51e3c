"""Tables of PostgreSQL as sources and sinks: what the suites do not ask."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import psycopg
import pytest

from openautoglm.data import Part, open_sink, open_source, writing
from openautoglm.data.location import read_location
from openautoglm.data.tables.postgres import PostgresDialect
from openautoglm.errors import (
    BadRowError,
    DataUrlError,
    InputNotFoundError,
    OpenAutoGLMError,
    OutputWriteError,
    SinkConflictError,
    SourceChangedError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.postgres_server import PostgresServer

SECRETS = ("p@ss", "w:rd", "p%40ss", "Zq81")
"""Parts of the password of the tests' server, as it is and as it stands in a URL."""


def run(url: str, script: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute(script.encode())


def values(url: str, **options: str) -> list[object]:
    return [dict(record.values) for record in open_source(url, **options).read()]


def test_values_come_as_json_holds_them(postgres_url: str) -> None:
    run(
        postgres_url,
        """
        CREATE TYPE mood AS ENUM ('good');
        CREATE TABLE t(id UUID PRIMARY KEY, big NUMERIC, r FLOAT8, nan FLOAT8, b BYTEA, d DATE,
          at TIMESTAMPTZ, never TIMESTAMP, long INTERVAL, tags TEXT[], doc JSONB, text_doc JSON,
          m MOOD, net INET, is_new BOOLEAN, days DATERANGE, "%s ?" SMALLINT);
        INSERT INTO t VALUES ('a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 123456789012345678901.50,
          0.1, 'NaN', '\\x6f6167', '2026-11-23', '2026-11-23 10:00+02', 'infinity', '90 minutes',
          '{a,NULL}', '{"a": [1, null]}', '"text"', 'good', '10.0.0.1', true,
          '[2026-01-01,2026-02-01)', 7);
        """,
    )
    assert values(f"{postgres_url}?table=t") == [
        {
            "id": "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
            "big": "123456789012345678901.50",
            "r": 0.1,
            "nan": None,
            "b": "b2Fn",
            "d": "2026-11-23",
            "at": "2026-11-23T08:00:00+00:00",
            "never": "infinity",
            "long": "PT1H30M",
            "tags": ["a", None],
            "doc": {"a": [1, None]},
            "text_doc": "text",
            "m": "good",
            "net": "10.0.0.1",
            "is_new": True,
            "days": "[2026-01-01, 2026-02-01)",
            "%s ?": 7,
        }
    ]
    described = open_source(f"{postgres_url}?table=t").describe()
    assert {column.name: column.kind for column in described.columns}["big"] == "text"


@pytest.mark.parametrize(
    ("kind", "keys"),
    [
        ("UUID", [f"00000000-0000-0000-0000-00000000000{n}" for n in range(5)]),
        ("TIMESTAMPTZ", [f"2026-11-23T10:00:00.00000{n}+00:00" for n in range(1, 6)]),
        ("NUMERIC", ["1.5", "2.25", "10", "11", "12345678901234567890.1"]),
        ("TEXT", ["", "%", "A", "a", "请"]),
    ],
)
def test_keys_of_many_types_name_rows(postgres_url: str, kind: str, keys: list[str]) -> None:
    run(postgres_url, f"CREATE TABLE t(k {kind} PRIMARY KEY)")
    with psycopg.connect(postgres_url) as connection, connection.cursor() as cursor:
        cursor.executemany("INSERT INTO t VALUES (%s)", [(key,) for key in keys])
    source = open_source(f"{postgres_url}?table=t")
    records = list(source.read())
    assert [record.values["k"] for record in records] == keys
    shards = list(source.shards(rows=2))
    assert [r.key for shard in shards for r in source.read(shard)] == [r.key for r in records]
    assert [r.key for r in source.read(resume_from=records[2].position)] == [
        record.key for record in records[3:]
    ]


@pytest.mark.parametrize("key", ["", "&key=k", "&key=grp,%25"])
def test_a_row_taken_away_and_another_added_inside_a_shard_is_noticed(
    postgres_url: str, key: str
) -> None:
    run(
        postgres_url,
        'CREATE TABLE t(k NUMERIC PRIMARY KEY, grp TEXT, "%" TIMESTAMPTZ);'
        "INSERT INTO t SELECT n, 'a', '2026-11-23'::timestamptz + n * interval '1 second'"
        " FROM generate_series(1, 9) n",
    )
    source = open_source(f"{postgres_url}?table=t{key}")
    shards, before = list(source.shards(rows=4)), source.describe().fingerprint
    run(
        postgres_url,
        "DELETE FROM t WHERE k = 6;"
        "INSERT INTO t VALUES (6.5, 'a', '2026-11-23'::timestamptz + interval '6.5 seconds')",
    )
    with pytest.raises(SourceChangedError, match=r"shard 1 .* of 4 rows, has other keys"):
        next(source.read(shards[1]))
    assert [len(list(source.read(shard))) for shard in (shards[0], shards[2])] == [4, 1]
    assert source.describe().fingerprint != before


def test_a_position_of_another_type_is_refused(postgres_url: str) -> None:
    run(postgres_url, "CREATE TABLE t(k INT PRIMARY KEY)")
    with pytest.raises(SourceChangedError, match="another type"):
        list(open_source(f"{postgres_url}?table=t").read(resume_from='["abc"]'))


def test_a_table_without_a_key_is_one_shard_and_its_columns_are_looked_at(
    postgres_url: str,
) -> None:
    run(postgres_url, "CREATE TABLE t(a INT); INSERT INTO t VALUES (2), (1), (2)")
    source = open_source(f"{postgres_url}?table=t")
    assert [shard.rows for shard in source.shards(rows=1)] == [3]
    assert len(values(f"{postgres_url}?table=t")) == 3
    assert open_source(f"{postgres_url}?table=t").describe().rows == 3
    with pytest.raises(DataUrlError, match=r"two rows have the key \[2\]"):
        list(open_source(f"{postgres_url}?table=t&key=a").shards(rows=2))


@pytest.mark.parametrize(
    ("asked", "error", "says"),
    [
        ("table=revews", InputNotFoundError, "did you mean `reviews`"),
        ("table=other.reviews", InputNotFoundError, "a schema is an option"),
        ("query=SELECT 1 AS a, 2 AS a", DataUrlError, "are called `a`"),
        ("query=SELECT nothing", InputNotFoundError, "does not exist"),
        ("query=DELETE FROM reviews RETURNING id", InputNotFoundError, "syntax error"),
        ("query=WITH d AS (DELETE FROM reviews) SELECT 1", InputNotFoundError, "WITH clause"),
        ("table=reviews&sslmod=disable", DataUrlError, "did you mean `sslmode`"),
    ],
)
def test_what_cannot_be_read_is_refused_when_it_is_opened(
    postgres_url: str, asked: str, error: type[Exception], says: str
) -> None:
    run(postgres_url, "CREATE TABLE reviews(id INT PRIMARY KEY); INSERT INTO reviews VALUES (1)")
    with pytest.raises(error, match=says):
        open_source(f"{postgres_url}?{asked}").describe()
    assert values(f"{postgres_url}?table=reviews") == [{"id": 1}]


def test_a_query_may_hold_what_stands_for_values_elsewhere(postgres_url: str) -> None:
    run(
        postgres_url,
        "CREATE TABLE t(k INT PRIMARY KEY); INSERT INTO t SELECT generate_series(1, 9)",
    )
    query = "SELECT k, '100%' AS p, '%s :x ?' AS q FROM t WHERE 'a' LIKE '%' -- %"
    row = {"p": "100%", "q": "%s :x ?"}
    assert values(postgres_url, query=query) == [{"k": n, **row} for n in range(1, 10)]
    source = open_source(postgres_url, query=query, key="k")
    assert [shard.rows for shard in source.shards(rows=4)] == [4, 4, 1]
    assert [r.values for r in source.read(resume_from="[7]")] == [{"k": n, **row} for n in (8, 9)]
    assert source.describe().rows == 9


def test_a_schema_is_an_option(postgres_url: str) -> None:
    run(postgres_url, 'CREATE SCHEMA "S s"')
    url = f"{postgres_url}?schema=S s&table=T t"
    with writing(open_sink(url, part=Part(job="j", shard=0))) as sink:
        sink.write([{"n": 1}])
    assert values(url) == [{"n": 1}]
    with pytest.raises(InputNotFoundError):
        open_source(f"{postgres_url}?table=T t")


def leaks(raised: pytest.ExceptionInfo[BaseException]) -> list[str]:
    """Return secrets in an error, and in whatever it was raised from."""
    error: BaseException | None = raised.value
    said = []
    while error is not None:
        said += [str(error), repr(error)]
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return [text for text in said for secret in SECRETS if secret in text]


@pytest.mark.parametrize(
    "change",
    [
        lambda url: url.replace("Zq81", "Zq81x") + "?table=t",
        lambda url: url + "?table=nothing",
        lambda url: url + "?no_such_option=1&table=t",
        lambda url: url + "?table=t&password=p@ss-Zq81-other",
        lambda url: url + "-nothing?table=t",
        lambda url: url.replace("%40", "@").replace("%2F", "/").replace("%3A", ":") + "?table=t",
        lambda url: url.replace("127.0.0.1:", "127.0.0.1:x") + "?table=t",
        lambda url: url,
    ],
)
def test_no_error_shows_a_password(postgres_url: str, change: Callable[[str], str]) -> None:
    url = change(postgres_url)
    for opened in (open_source, open_sink):
        with pytest.raises(OpenAutoGLMError) as raised:  # noqa: PT012 - a missing table is made
            opened(url)
            raise InputNotFoundError("a sink makes its table")
        assert leaks(raised) == []


def test_no_description_receipt_or_name_shows_a_password(postgres_url: str) -> None:
    url = f"{postgres_url}?table=t"
    sink = open_sink(url)
    sink.write([{"id": 1}])
    receipt = sink.commit()
    source = open_source(url)
    engine = PostgresDialect().reading(read_location(url, {}), ("table",))
    shown = [receipt, source.describe(), *source.shards(rows=1), *source.read(), engine]
    assert not [text for text in map(repr, shown) for secret in SECRETS if secret in text]
    assert source.describe().url.count("***") == 1


def test_text_with_nul_is_a_bad_row_that_names_its_column(postgres_url: str) -> None:
    url = f"{postgres_url}?table=t"
    with writing(open_sink(url)) as sink:
        for bad in ("a\0b", ["a", {"b": "\0"}], {"\0": 1}):
            with pytest.raises(BadRowError, match="row 1: the column `text` holds a NUL"):
                sink.write([{"text": bad}])
        sink.write([{"text": r"a\u0000b", "doc": [r"\u0000"]}])
    assert values(url) == [{"text": r"a\u0000b", "doc": [r"\u0000"]}]


def test_names_are_only_names_whatever_they_hold(postgres_url: str) -> None:
    evil = 'x"; DROP TABLE keep; -- %s %(a)s'
    run(postgres_url, "CREATE TABLE keep(a INT)")
    rows = [{evil: 1, "select": 2, "请": "%s", "$1": {"%": None}}]
    with writing(open_sink(postgres_url, table=evil, key=evil)) as sink:
        sink.write(rows)
    assert values(postgres_url, table=evil) == rows
    assert values(postgres_url, table="keep") == []
    for name in ("x" * 64, "请" * 22, ""):
        with pytest.raises((DataUrlError, BadRowError)):
            open_sink(postgres_url, table=name)
        with pytest.raises(BadRowError, match=r"63 bytes|is empty"):
            open_sink(postgres_url, table="t").write([{name: 1}])


def test_a_column_takes_no_value_that_it_would_change(postgres_url: str) -> None:
    url = f"{postgres_url}?table=t"
    run(postgres_url, "CREATE TABLE t(n INT, v VARCHAR(3), d DATE, a TEXT[], doc JSONB)")
    with writing(open_sink(url)) as sink:
        for bad in ({"n": 1.5}, {"n": "1"}, {"v": 1}, {"a": "{}"}, {"x": 1}):
            with pytest.raises(BadRowError, match=r"of the table"):
                sink.write([bad])
        sink.write([{"n": 1, "v": "abc", "d": "2026-11-23", "a": ["x", None], "doc": "text"}])
    assert values(url) == [{"n": 1, "v": "abc", "d": "2026-11-23", "a": ["x", None], "doc": "text"}]
    sink = open_sink(url)
    sink.write([{"v": "abcd"}])
    with pytest.raises(OutputWriteError, match="too long"):
        sink.commit()
    sink.abort()


def test_of_attempts_at_once_one_is_committed(postgres_url: str) -> None:
    url = f"{postgres_url}?table=t"
    outcomes: list[str] = []
    sinks = [open_sink(url, part=Part(job="j", shard=n % 2, attempt=n + 1)) for n in range(6)]
    ready = threading.Barrier(len(sinks))

    def commit(number: int) -> None:
        sinks[number].write([{"shard": number % 2}] * 3)
        ready.wait()
        try:
            sinks[number].commit()
            outcomes.append("ok")
        except SinkConflictError:
            outcomes.append("conflict")
        sinks[number].abort()

    threads = [threading.Thread(target=commit, args=(n,)) for n in range(len(sinks))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["conflict"] * 4 + ["ok"] * 2
    assert sorted(map(str, values(url))) == ["{'shard': 0}"] * 3 + ["{'shard': 1}"] * 3


def test_of_outputs_at_once_the_last_one_stays_alone(postgres_url: str) -> None:
    url = f"{postgres_url}?table=t"
    with writing(open_sink(url)) as sink:
        sink.write([{"n": -1}])
    sinks = [open_sink(url) for _ in range(4)]
    for number, sink in enumerate(sinks):
        sink.write([{"n": number}] * 5)
    threads = [threading.Thread(target=sink.commit) for sink in sinks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = values(url)
    assert len(found) == 5
    assert len(set(map(str, found))) == 1


def test_a_reading_goes_on_when_the_server_is_back(
    postgres_server: PostgresServer, postgres_url: str
) -> None:
    run(
        postgres_url,
        "CREATE TABLE t(k INT PRIMARY KEY); INSERT INTO t SELECT generate_series(1, 30)",
    )
    records = open_source(f"{postgres_url}?table=t").read()
    found = [next(records).values["k"]]
    postgres_server.stop()
    postgres_server.start()
    found += [record.values["k"] for record in records]
    assert found == list(range(1, 31))


def test_a_commit_and_a_reading_wait_for_a_server_that_is_away(
    postgres_server: PostgresServer, postgres_url: str
) -> None:
    sink = open_sink(f"{postgres_url}?table=t", part=Part(job="j", shard=0))
    sink.write([{"n": 1}])
    run(postgres_url, "CREATE TABLE s(k INT PRIMARY KEY); INSERT INTO s VALUES (1)")
    source = open_source(f"{postgres_url}?table=s")
    postgres_server.stop()
    start = threading.Thread(target=postgres_server.start)
    start.start()
    assert sink.commit().rows == 1
    assert len(list(source.read())) == 1
    start.join()
    assert values(f"{postgres_url}?table=t") == [{"n": 1}]


def test_a_connection_waits_for_nobody_between_two_rows(postgres_url: str) -> None:
    run(postgres_url, "CREATE TABLE t(k INT PRIMARY KEY); INSERT INTO t VALUES (1), (2)")
    records = open_source(f"{postgres_url}?table=t").read()
    next(records)
    with psycopg.connect(postgres_url) as connection:
        states = connection.execute(
            b"SELECT state FROM pg_stat_activity WHERE datname = current_database()"
            b" AND pid <> pg_backend_pid()"
        ).fetchall()
    assert states == [("idle",)]
    assert len(list(records)) == 1
