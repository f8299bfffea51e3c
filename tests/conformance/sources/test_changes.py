"""What each source notices of a change between the making of its shards and their reading.

This is the table "What a source notices" of docs/data.md, line by line.
"""

from __future__ import annotations

import importlib
import os
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from openautoglm.data import open_source
from openautoglm.errors import InputNotFoundError, SourceChangedError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.s3_server import S3Bucket
    from tests.web_server import WebServer

    from openautoglm.data import Shard


def jsonl(path: Path, texts: list[str]) -> None:
    path.write_text("".join(f'{{"t":"{text}"}}\n' for text in texts))


def csv(path: Path, texts: list[str]) -> None:
    path.write_text("".join(f"{text}\n" for text in ["t", *texts]))


def parquet(path: Path, texts: list[str]) -> None:
    pa: Any = importlib.import_module("pyarrow")
    pq: Any = importlib.import_module("pyarrow.parquet")
    pq.write_table(pa.table({"t": texts}), path, row_group_size=2)


def arrow(path: Path, texts: list[str]) -> None:
    pa: Any = importlib.import_module("pyarrow")
    table = pa.table({"t": texts})
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table, max_chunksize=2)


def text(path: Path, texts: list[str]) -> None:
    path.write_text("".join(texts))


FORMATS: dict[str, tuple[str, Callable[[Path, list[str]], None]]] = {
    "jsonl": ("jsonl://{}/", jsonl),
    "csv": ("csv://{}/", csv),
    "parquet": ("parquet://{}/", parquet),
    "arrow": ("hf://{}", arrow),
    "txt": ("folder://{}", text),
}
TEXTS = ["a", "b", "c", "d"]
OTHERS = ["a", "x", "c", "d"]


@pytest.fixture(params=FORMATS)
def form(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def made(form: str, folder: Path) -> tuple[str, list[Shard], dict[str, str]]:
    """Write four files and return the URL, shards over them and the fingerprint."""
    url, write = FORMATS[form]
    for name in "kmps":
        write(folder / f"{name}.{form}", TEXTS)
    source = open_source(url.format(folder))
    return source.describe().url, list(source.shards(rows=2)), dict(source.describe().fingerprint)


def refused(url: str, shards: list[Shard]) -> int:
    """Return how many of the shards are refused by a source that is opened now."""
    source, count = open_source(url), 0
    for shard in shards:
        try:
            list(source.read(shard))
        except SourceChangedError:
            count += 1
    return count


def is_other(url: str, before: dict[str, str]) -> bool:
    return dict(open_source(url).describe().fingerprint) != before


def test_a_file_that_was_written_again_with_the_same_size_is_noticed_in_its_shards(
    form: str, tmp_path: Path
) -> None:
    url, shards, before = made(form, tmp_path)
    assert refused(url, shards) == 0
    FORMATS[form][1](tmp_path / f"m.{form}", OTHERS)
    os.utime(tmp_path / f"m.{form}", ns=(1, 1))
    assert 1 <= refused(url, shards) <= 3  # those of other files are as they were
    assert is_other(url, before)


def test_a_file_of_the_same_size_and_time_is_not_noticed(form: str, tmp_path: Path) -> None:
    url, shards, before = made(form, tmp_path)
    path = tmp_path / f"m.{form}"
    status = path.stat()
    FORMATS[form][1](path, OTHERS)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert path.stat().st_size == status.st_size
    assert refused(url, shards) == 0
    assert not is_other(url, before)


def test_a_file_in_the_place_of_another_is_noticed(form: str, tmp_path: Path) -> None:
    url, shards, before = made(form, tmp_path)
    (tmp_path / f"m.{form}").rename(tmp_path / f"n.{form}")
    assert refused(url, shards) >= 1
    assert is_other(url, before)


def test_a_file_that_changes_while_it_is_read_is_noticed_at_its_end(
    form: str, tmp_path: Path
) -> None:
    url, shards, _ = made(form, tmp_path)
    records = open_source(url).read(shards[0])
    next(records)
    os.utime(tmp_path / f"k.{form}", ns=(1, 1))
    with pytest.raises(SourceChangedError):
        list(records)


def test_an_object_that_was_put_again_is_noticed_whatever_its_size(s3_bucket: S3Bucket) -> None:
    content = b'{"t":"a"}\n{"t":"b"}\n'
    for name in "ab":
        s3_bucket.put(f"in/{name}.jsonl", content)
    url = s3_bucket.url("jsonl", "in/")
    source = open_source(url)
    shards, before = list(source.shards(rows=2)), dict(source.describe().fingerprint)
    s3_bucket.put("in/b.jsonl", content.replace(b"a", b"x"))
    assert refused(url, shards) == 1
    assert is_other(url, before)
    with pytest.raises(SourceChangedError):  # by the source that was open, at its first piece
        list(source.read(shards[1]))


@pytest.mark.parametrize("has_tags", [True, False], ids=["with ETag", "without"])
def test_an_address_that_serves_something_else_is_noticed(
    web_server: WebServer, *, has_tags: bool
) -> None:
    web_server.has_tags = has_tags
    web_server.files["/a.jsonl"] = b'{"t":"a"}\n{"t":"b"}\n'
    url = web_server.url("/a.jsonl")
    source = open_source(url)
    shards, before = list(source.shards(rows=1)), dict(source.describe().fingerprint)
    web_server.files["/a.jsonl"] = b'{"t":"x"}\n{"t":"b"}\n'
    assert refused(url, shards) == 2
    assert is_other(url, before)


TABLE = "CREATE TABLE t(id INTEGER PRIMARY KEY, t TEXT)"
ROWS = "INSERT INTO t VALUES (1, 'a'), (3, 'c'), (5, 'e'), (7, 'g')"
NEW = "INSERT INTO t VALUES (2, 'b')"
CHANGES = {
    "another row in the place of one": ("DELETE FROM t WHERE id = 1", NEW),
    "a row more": (NEW,),
    "a row less": ("DELETE FROM t WHERE id = 1",),
    "a row behind all": ("INSERT INTO t VALUES (9, 'i')",),
    "another value in place": ("UPDATE t SET t = 'x' WHERE id = 1",),
}
NOTICED = {
    "another row in the place of one": (1, 1),
    "a row more": (1, 1),
    "a row less": (1, 1),
    "a row behind all": (0, 1),
    "another value in place": (0, 1),
}
"""How many shards of the table refuse, and how many of the query without a key."""


def changed(url: str, run: Callable[[str], None], change: str) -> tuple[int, int, bool]:
    asked = (f"{url}?table=t", f"{url}?query=SELECT t FROM t ORDER BY id")  # noqa: S608 - a path
    shards = [list(open_source(each).shards(rows=2)) for each in asked]
    before = dict(open_source(asked[0]).describe().fingerprint)
    for statement in CHANGES[change]:
        run(statement)
    counts = [refused(each, made) for each, made in zip(asked, shards, strict=True)]
    return counts[0], counts[1], is_other(asked[0], before)


@pytest.mark.parametrize("change", CHANGES)
def test_a_table_of_sqlite_notices_other_keys_and_a_query_all(tmp_path: Path, change: str) -> None:
    def run(statement: str) -> None:
        with closing(sqlite3.connect(tmp_path / "shop.db")) as connection, connection:
            connection.execute(statement)

    run(TABLE)
    run(ROWS)
    *counts, is_told = changed(f"sqlite:///{tmp_path}/shop.db", run, change)
    assert tuple(counts) == NOTICED[change]
    assert is_told == (change != "another value in place")


@pytest.mark.parametrize("change", CHANGES)
def test_a_table_of_postgresql_notices_other_keys_and_a_query_all(
    postgres_url: str, change: str
) -> None:
    def run(statement: str) -> None:
        with psycopg.connect(postgres_url) as connection:
            connection.execute(statement.encode())

    run(TABLE)
    run(ROWS)
    *counts, is_told = changed(postgres_url, run, change)
    assert tuple(counts) == NOTICED[change]
    assert is_told == (change != "another value in place")


def test_a_file_that_is_gone_is_told_by_its_name(tmp_path: Path) -> None:
    jsonl(tmp_path / "a.jsonl", TEXTS)
    (shard,) = open_source(tmp_path / "a.jsonl").shards(rows=10)
    (tmp_path / "a.jsonl").unlink()
    with pytest.raises(InputNotFoundError, match=r"a\.jsonl"):
        list(open_source(tmp_path / "a.jsonl").read(shard))
