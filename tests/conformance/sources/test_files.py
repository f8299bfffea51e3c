"""The suite of sources over every format of files, and over every way to reach them."""

from __future__ import annotations

import gzip
import importlib
import io
from typing import TYPE_CHECKING, Any

import pytest

from openautoglm.data import SOURCES
from openautoglm.data.remote import remote_source
from openautoglm.testing import LocalRemote, prove

if TYPE_CHECKING:
    from pathlib import Path

    from tests.s3_server import S3Bucket
    from tests.web_server import WebServer

COUNT = 17


def jsonl(count: int, *, has_bad: bool = False) -> bytes:
    rows = [f'{{"id":{n},"text":"请"}}\n' for n in range(count)]
    if has_bad:
        rows.insert(1, "{broken\n")
    return "".join(rows).encode()


def csv(count: int, *, has_bad: bool = False) -> bytes:
    rows = [f'{n},"请\n""{n}"""\r\n' for n in range(count)]
    if has_bad:
        rows.insert(1, "1,2,3\r\n")
    return ("id,text\r\n" + "".join(rows)).encode()


def parquet(count: int, *, has_bad: bool = False) -> bytes:
    """A time before year 1 cannot be read."""
    pa: Any = importlib.import_module("pyarrow")
    pq: Any = importlib.import_module("pyarrow.parquet")
    times = [-99_999_999_999_999_999 if has_bad and n == 1 else n for n in range(count)]
    columns = {"id": list(range(count)), "at": pa.array(times, pa.int64()).cast(pa.timestamp("us"))}
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file, row_group_size=5)
    return file.getvalue()


KINDS = {"jsonl": jsonl, "csv": csv, "parquet": parquet}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAUTOGLM_CACHE", str(tmp_path / "cache"))


def contents(kind: str) -> dict[str, bytes]:
    make = KINDS[kind]
    return {"good": make(COUNT), "bad": make(3, has_bad=True), "part": make(3), "none": make(0)}


def proved(kind: str, urls: dict[str, str], *, is_remote: bool = False) -> None:
    opener: Any = SOURCES.get(kind)
    if is_remote:
        opener = remote_source(LocalRemote("source", opener), Named(kind))
    findings = prove("source", opener, name=kind, **urls)
    assert {finding.status for finding in findings} == {"pass"}


class Named:
    point = "source"
    contract = 1

    def __init__(self, name: str) -> None:
        self.name = name


@pytest.mark.parametrize("is_remote", [False, True], ids=["here", "in a worker"])
def test_a_file_keeps_the_contract(kind: str, tmp_path: Path, *, is_remote: bool) -> None:
    for name, content in contents(kind).items():
        (tmp_path / f"{name}.{kind}").write_bytes(content)
    urls = {
        "url": str(tmp_path / f"good.{kind}"),
        "bad_url": str(tmp_path / f"bad.{kind}"),
        "missing_url": str(tmp_path / f"no.{kind}"),
    }
    proved(kind, urls, is_remote=is_remote)


def test_a_folder_a_pattern_and_packed_files_keep_the_contract(kind: str, tmp_path: Path) -> None:
    folder = tmp_path / "parts"
    folder.mkdir()
    made = contents(kind)
    for name, content in [("a", "part"), ("b", "none"), ("c", "part"), ("d", "part")]:
        (folder / f"{name}.{kind}").write_bytes(made[content])
    (folder / f"e.{kind}.gz").write_bytes(gzip.compress(made["part"]))
    (tmp_path / f"bad.{kind}.gz").write_bytes(gzip.compress(made["bad"]))
    for place in (f"{folder}/", f"{tmp_path}/p*/*.{kind}*"):
        urls = {
            "url": f"{kind}+file://{place}",
            "bad_url": str(tmp_path / f"bad.{kind}.gz"),
            "missing_url": f"{kind}+file://{tmp_path}/no-*.{kind}",
        }
        proved(kind, urls)


def test_objects_keep_the_contract(kind: str, s3_bucket: S3Bucket) -> None:
    made = contents(kind)
    s3_bucket.put(f"bad.{kind}", made["bad"])
    for name in "ab":
        s3_bucket.put(f"parts/{name}.{kind}", made["part"])
    urls = {
        "url": s3_bucket.url(kind, "parts/"),
        "bad_url": s3_bucket.url(kind, f"bad.{kind}"),
        "missing_url": s3_bucket.url(kind, f"no.{kind}"),
    }
    proved(kind, urls)


@pytest.mark.parametrize("way", ["in ranges", "whole", "packed"])
def test_files_of_a_web_server_keep_the_contract(
    kind: str, way: str, web_server: WebServer
) -> None:
    ending = f"{kind}.gz" if way == "packed" else kind
    web_server.has_ranges = way == "in ranges"
    for name, content in contents(kind).items():
        packed = gzip.compress(content) if way == "packed" else content
        web_server.files[f"/{name}.{ending}"] = packed
    urls = {
        "url": web_server.url(f"/good.{ending}"),
        "bad_url": web_server.url(f"/bad.{ending}", kind),
        "missing_url": web_server.url(f"/no.{ending}"),
    }
    proved(kind, urls)
