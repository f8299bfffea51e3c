"""The suite of sources over tables and queries of SQLite and PostgreSQL."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from openautoglm.data import SOURCES
from openautoglm.data.remote import remote_source
from openautoglm.testing import LocalRemote, prove

if TYPE_CHECKING:
    from pathlib import Path

ROWS = [(3 * n - 4, f"n{n % 4}", f"请 {n}\n", n / 8, None if n % 3 else "note") for n in range(5)]
TABLES = """
CREATE TABLE {name}(id INTEGER PRIMARY KEY, grp TEXT NOT NULL, text TEXT, score {real}, note TEXT);
CREATE TABLE "two keys; --"(grp TEXT, id INTEGER, text TEXT, PRIMARY KEY (grp, id));
CREATE TABLE plain(text TEXT, score {real});
"""
CASES = {
    "a key": "table=reviews",
    "a key of two": "table=two keys%3B --",
    "no key": "table=plain",
    "a query with a key": "query=SELECT id AS n, text, '100%25' AS p FROM reviews --x&key=n",
    "a query": "query=SELECT text, ':a' AS t FROM reviews ORDER BY text DESC;",
}


class Named:
    point = "source"
    contract = 1
    name = "table"


@pytest.fixture
def sqlite_urls(tmp_path: Path) -> dict[str, str]:
    path = tmp_path / "shop.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript(TABLES.format(name="reviews", real="REAL"))
        connection.executemany("INSERT INTO reviews VALUES (?, ?, ?, ?, ?)", ROWS)
        connection.execute('INSERT INTO "two keys; --" SELECT grp, id, text FROM reviews')
        connection.execute("INSERT INTO plain SELECT text, score FROM reviews")
        connection.executescript(
            "CREATE TABLE bad(id INTEGER PRIMARY KEY, text TEXT);"
            "INSERT INTO bad VALUES (1, 'a'), (2, CAST(x'61ff' AS TEXT)), (3, 'c');"
        )
    return {"url": f"sqlite:///{path}", "bad": "table=bad", "missing": "table=revews"}


@pytest.fixture
def postgres_urls(postgres_url: str) -> dict[str, str]:
    with psycopg.connect(postgres_url) as connection:
        connection.execute(TABLES.format(name="reviews", real="FLOAT8").encode())
        with connection.cursor() as cursor:
            cursor.executemany("INSERT INTO reviews VALUES (%s, %s, %s, %s, %s)", ROWS)
        connection.execute('INSERT INTO "two keys; --" SELECT grp, id, text FROM reviews')
        connection.execute("INSERT INTO plain SELECT text, score FROM reviews")
    return {"url": postgres_url, "missing": "table=revews"}


def skipped(scheme: str, urls: dict[str, str], case: str, *, is_remote: bool) -> set[str]:
    """Ask the suite and return the rows that were not asked."""
    opener: Any = SOURCES.get(scheme)
    if is_remote:
        opener = remote_source(LocalRemote("source", opener), Named())
    options = {"url": f"{urls['url']}?{CASES[case]}", "missing_url": f"{urls['url']}?missing"}
    options["missing_url"] = f"{urls['url']}?{urls['missing']}"
    if "bad" in urls:
        options["bad_url"] = f"{urls['url']}?{urls['bad']}"
    findings = prove("source", opener, name=scheme, **options)
    return {finding.row for finding in findings if finding.status == "skip"}


@pytest.mark.parametrize("case", CASES)
def test_rows_of_sqlite_keep_the_contract(case: str, sqlite_urls: dict[str, str]) -> None:
    assert skipped("sqlite", sqlite_urls, case, is_remote=False) == set()


@pytest.mark.parametrize("case", ["a key", "a query"])
def test_rows_of_postgresql_keep_the_contract(case: str, postgres_urls: dict[str, str]) -> None:
    rows = skipped("postgresql", postgres_urls, case, is_remote=False)
    assert rows == {"source.bad_rows"}  # the server stores no text that is not UTF-8


def test_tables_keep_the_contract_in_a_worker(sqlite_urls: dict[str, str]) -> None:
    assert skipped("sqlite", sqlite_urls, "a key", is_remote=True) == set()
