"""What SQLite refuses, what is refused of it, and what is said."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from openautoglm.data import open_sink, open_source
from openautoglm.data.tables import sqlite
from openautoglm.errors import InputNotFoundError, OutputWriteError, SourceChangedError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def shop(tmp_path: Path) -> str:
    """The URL of a database with a table."""
    with closing(sqlite3.connect(tmp_path / "shop.db")) as connection, connection:
        connection.execute("CREATE TABLE reviews(id INTEGER PRIMARY KEY, text TEXT)")
        connection.execute("INSERT INTO reviews VALUES (1, 'a'), (2, 'b')")
    return f"sqlite:///{tmp_path}/shop.db"


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ("table=Reviews", "did you mean `reviews`"),
        ("query=SELECT 1; SELECT 2", "correct the query: one SELECT"),
        ("query=SELECT * FROM review", "no such table: review.*correct the name"),
        ("query=UPDATE reviews SET text = 1", "correct the query: one SELECT"),
    ],
)
def test_what_a_database_refuses_is_told_with_what_to_do(shop: str, asked: str, says: str) -> None:
    with pytest.raises(InputNotFoundError, match=f"(?s){says}"):
        open_source(f"{shop}?{asked}").describe()


def test_a_file_that_somebody_has_locked_or_that_is_damaged_is_told(
    shop: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"{shop}?table=reviews"
    monkeypatch.setattr(sqlite, "PATIENCE_S", 0.01)
    with closing(sqlite3.connect(tmp_path / "shop.db")) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(InputNotFoundError, match=r"(?s)locked.*another program"):
            open_source(url)
        sink = open_sink(f"sqlite:///{tmp_path}/new.db?table=t")
        sink.abort()
        with pytest.raises(OutputWriteError, match=r"(?s)locked.*nothing was written; another"):
            open_sink(url)
    content = (tmp_path / "shop.db").read_bytes()
    (tmp_path / "shop.db").write_bytes(content[:4096] + b"\xff" * 4096)
    with pytest.raises(InputNotFoundError, match=r"(?s)malformed.*bring back a copy"):
        list(open_source(url).read())


@pytest.mark.parametrize(
    ("key", "change"),
    [
        ("", "DELETE FROM reviews WHERE id = 6; INSERT INTO reviews VALUES (6.5, 'other')"),
        ("&key=text", "DELETE FROM reviews WHERE id = 6; INSERT INTO reviews VALUES (61, 'new')"),
        ("&key=id,text", "UPDATE reviews SET text = 'new' WHERE id = 6"),
    ],
    ids=["the table's key", "a named key", "a key of two"],
)
def test_a_row_taken_away_and_another_added_inside_a_shard_is_noticed(
    tmp_path: Path, key: str, change: str
) -> None:
    def run(script: str) -> None:
        with closing(sqlite3.connect(tmp_path / "keys.db")) as connection, connection:
            connection.executescript(script)

    run(
        "CREATE TABLE reviews(id REAL PRIMARY KEY, text TEXT);"
        "WITH RECURSIVE n(v) AS (SELECT 1 UNION ALL SELECT v + 1 FROM n WHERE v < 10)"
        " INSERT INTO reviews SELECT v, 'm' || (100 + v) FROM n;"
    )
    source = open_source(f"sqlite:///{tmp_path}/keys.db?table=reviews{key}")
    shards, before = list(source.shards(rows=4)), source.describe().fingerprint
    records = source.read(shards[1])
    begun = next(records)
    run(change)
    for reading in (
        records,
        source.read(shards[1]),
        source.read(shards[1], resume_from=begun.position),
    ):
        with pytest.raises(SourceChangedError, match=r"shard 1 .* other keys|shard 1 .* 3 rows"):
            list(reading)
    assert len(list(source.read(shards[0]))) == 4
    assert source.describe().fingerprint != before
