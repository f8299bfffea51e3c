"""Batches from and to other places than files of lines on this machine."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from openautoglm.data import open_source
from openautoglm.jobs.run import Run

if TYPE_CHECKING:
    from tests.s3_server import S3Bucket
    from tests.unit.jobs.conftest import Desk


def twice(url: str) -> list[object]:
    return [record.values["twice"] for record in open_source(url).read()]


@pytest.mark.slow
def test_an_object_of_a_bucket_is_answered_into_one_object_made_of_its_parts(
    desk: Desk, s3_bucket: S3Bucket
) -> None:
    s3_bucket.put("in.jsonl", b"".join(b'{"n": %d}\n' % n for n in range(25)))
    source = s3_bucket.url("jsonl", "in.jsonl")
    run = desk.job(source=source, sink=s3_bucket.url("jsonl", "out.jsonl"), shard_rows=10).run()
    assert run.status().state == "done"
    assert sorted(s3_bucket.keys()) == ["in.jsonl", "out.jsonl"]
    assert twice(s3_bucket.url("jsonl", "out.jsonl")) == [2 * n for n in range(25)]
    assert run.export(s3_bucket.url("jsonl", "copy.jsonl")) == 25


def test_a_table_is_answered_into_a_table(desk: Desk) -> None:
    with closing(sqlite3.connect(desk.folder / "in.db")) as database:
        database.execute("create table word (n integer primary key, text text)")
        database.executemany("insert into word values (?, ?)", [(n, "x") for n in range(25)])
        database.commit()
    sink = f"sqlite:///{desk.folder}/out.db?table=answer&mode=append"
    run = desk.job(
        source=f"sqlite:///{desk.folder}/in.db?table=word", sink=sink, id_column="n", shard_rows=10
    ).run()
    assert run.status().counts.ok == 25
    with closing(sqlite3.connect(desk.folder / "out.db")) as database:
        rows = database.execute("select n, twice from answer order by n").fetchall()
    assert rows == [(n, 2 * n) for n in range(25)]
    assert run.export(str(desk.folder / "copy.jsonl")) == 25


@pytest.mark.slow
def test_a_ledger_can_be_on_a_server(desk: Desk, postgres_url: str) -> None:
    desk.number(50)
    run = desk.job(workers=2, shard_rows=10).submit(ledger=postgres_url)
    assert run.wait().state == "done"
    assert [row["twice"] for row in desk.answers()] == [2 * n for n in range(50)]
    assert [each.job for each in Run.all(ledger=postgres_url)] == [run.id]
    assert Run.all() == []
