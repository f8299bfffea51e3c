"""What SQLite refuses, and what is said of it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from openautoglm.data import open_sink, open_source
from openautoglm.data.tables import sqlite
from openautoglm.errors import InputNotFoundError, OutputWriteError

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
