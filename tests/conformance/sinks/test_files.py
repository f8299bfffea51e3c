"""The suite of sinks over every format of files, on a disk and in S3."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from openautoglm.data import SINKS, open_source
from openautoglm.data.remote import remote_sink
from openautoglm.testing import LocalRemote, prove

if TYPE_CHECKING:
    from pathlib import Path

    from tests.s3_server import S3Bucket

TYPES = "id:integer,score:number,is_new:boolean"


def read(url: str) -> list[dict[str, object]]:
    return [dict(record.values) for record in open_source(url).read()]


def read_csv(url: str) -> list[dict[str, object]]:
    """The rows of a table, where an empty note is none: a table does not tell the two apart."""
    rows = [dict(record.values) for record in open_source(url).read()]
    if rows:
        rows = [dict(record.values) for record in open_source(url, types=TYPES).read()]
    return [{**row, "note": row["note"] or None} for row in rows]


READERS = {"jsonl": read, "csv": read_csv, "parquet": read}


@pytest.mark.parametrize("kind", READERS)
@pytest.mark.parametrize("is_remote", [False, True], ids=["here", "in a worker"])
def test_a_file_keeps_the_contract(kind: str, tmp_path: Path, *, is_remote: bool) -> None:
    opener: Any = SINKS.get(kind)
    if is_remote:
        opener = remote_sink(LocalRemote("sink", opener), Named(kind))
    urls = {
        "url": f"{kind}+file://{tmp_path}/out-{{n}}.{kind}",
        "part_url": f"{kind}+file://{tmp_path}/parts-{{n}}/",
    }
    findings = prove("sink", opener, name=kind, reader=READERS[kind], **urls)
    assert {finding.status for finding in findings} == {"pass"}


@pytest.mark.parametrize("kind", READERS)
def test_an_object_keeps_the_contract(kind: str, s3_bucket: S3Bucket) -> None:
    urls = {
        "url": s3_bucket.url(kind, f"out-{{n}}.{kind}"),
        "part_url": s3_bucket.url(kind, "parts-{n}/"),
    }
    findings = prove("sink", SINKS.get(kind), name=kind, reader=READERS[kind], **urls)
    assert {finding.status for finding in findings} == {"pass"}


class Named:
    point = "sink"
    contract = 1

    def __init__(self, name: str) -> None:
        self.name = name
