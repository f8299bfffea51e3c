"""Where parts go, and what a job's end makes of them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from openautoglm.data import Part, Receipt, open_sink, writing
from openautoglm.errors import DataUrlError, InputNotFoundError, OutputWriteError
from openautoglm.jobs.destination import parts_url, try_sink
from openautoglm.jobs.finishing import Finishing
from openautoglm.jobs.output import part_rows, whole_rows

if TYPE_CHECKING:
    from pathlib import Path

JOB = "j-00000000"


def put(url: str, numbers: list[list[int]]) -> list[tuple[int, Receipt]]:
    """Commit a part for each list."""
    receipts = []
    for shard, each in enumerate(numbers):
        with writing(open_sink(parts_url(url), part=Part(job=JOB, shard=shard))) as sink:
            sink.write([{"n": n} for n in each])
            receipts.append((shard, sink.commit()))
    return receipts


@pytest.mark.parametrize(
    ("sink", "parts"),
    [
        ("/d/a.jsonl", "jsonl:///d/a.jsonl.parts/"),
        ("/d/a.ndjson", "jsonl:///d/a.ndjson.parts/"),
        ("jsonl+file:///d/a?x=1", "jsonl+file:///d/a.parts/?x=1"),
        ("/d/", "jsonl:///d/"),
        ("s3://b/d/", "jsonl+s3://b/d/"),
        ("jsonl+file:///d/", "jsonl+file:///d/"),
        ("csv+s3://b/a.csv", "csv+s3://b/a.csv.parts/"),
        ("csv+s3://b/d/", "csv+s3://b/d/"),
        ("s3://b/a.parquet?region=x", "parquet+s3://b/a.parquet.parts/?region=x"),
        ("jsonl:///d/a.jsonl", "jsonl:///d/a.jsonl.parts/"),
        ("/d/50% of.jsonl", "jsonl:///d/50%25%20of.jsonl.parts/"),
        ("postgresql://h/d?table=t", "postgresql://h/d?table=t"),
    ],
)
def test_parts_of_one_file_go_to_a_folder_beside_it(sink: str, parts: str) -> None:
    assert parts_url(sink) == parts


def test_a_folder_that_is_there_takes_parts_itself(tmp_path: Path) -> None:
    assert parts_url(str(tmp_path)) == f"jsonl://{tmp_path}"


def test_trying_a_sink_leaves_nothing_and_keeps_what_is_there(tmp_path: Path) -> None:
    file = tmp_path / "out.jsonl"
    try_sink(str(file))
    try_sink(f"{tmp_path}/new/")
    assert list(tmp_path.iterdir()) == []
    file.write_text("kept")
    try_sink(str(file))
    assert file.read_text() == "kept"
    with pytest.raises(OutputWriteError):
        try_sink(str(tmp_path / "no" / "folder" / "out.jsonl"))
    with pytest.raises(DataUrlError):
        try_sink(str(tmp_path / "out.unknown"))


def test_one_file_is_made_of_all_parts_in_order_and_once_more_where_that_is_asked(
    tmp_path: Path,
) -> None:
    url = str(tmp_path / "out.jsonl")
    receipts = put(url, [[1, 2], [], [3]])
    assert [row["n"] for row in part_rows(url, [part for _, part in receipts])] == [1, 2, 3]
    finishing = Finishing(JOB, url, receipts)
    for _ in range(2):
        finishing.finish()
        assert (tmp_path / "out.jsonl").read_text() == '{"n":1}\n{"n":2}\n{"n":3}\n'
    assert [row["n"] for row in whole_rows(url)] == [1, 2, 3]
    finishing.clean()
    finishing.clean()
    assert [path.name for path in tmp_path.iterdir()] == ["out.jsonl"]


def test_parts_of_another_job_stay(tmp_path: Path) -> None:
    url = str(tmp_path / "out.jsonl")
    with writing(open_sink(parts_url(url), part=Part(job="other", shard=0))) as sink:
        sink.write([{"n": 9}])
    finishing = Finishing(JOB, url, put(url, [[1]]))
    finishing.finish()
    finishing.clean()
    assert (tmp_path / "out.jsonl").read_text() == '{"n":1}\n'
    assert len(list((tmp_path / "out.jsonl.parts").iterdir())) == 1


def test_a_job_without_rows_makes_an_empty_file_or_a_list_of_nothing(tmp_path: Path) -> None:
    Finishing(JOB, str(tmp_path / "out.jsonl"), []).finish()
    assert (tmp_path / "out.jsonl").read_bytes() == b""
    Finishing(JOB, f"{tmp_path}/new/", []).finish()
    assert json.loads((tmp_path / "new" / "_manifest.json").read_text())["parts"] == []


def test_parts_of_other_formats_are_put_together_row_by_row(tmp_path: Path) -> None:
    url = str(tmp_path / "out.csv")
    Finishing(JOB, url, put(url, [[1, 2], [3]])).finish()
    assert (tmp_path / "out.csv").read_text().split() == ["n", "1", "2", "3"]


def test_a_part_that_was_changed_or_removed_is_told_and_what_was_there_stays(
    tmp_path: Path,
) -> None:
    file = tmp_path / "out.jsonl"
    file.write_text("before")
    receipts = put(str(file), [[1], [2]])
    part = tmp_path / "out.jsonl.parts" / f"{JOB}-000001.jsonl"
    part.write_text('{"n":7}\n')
    with pytest.raises(OutputWriteError, match="not what was committed"):
        Finishing(JOB, str(file), receipts).finish()
    part.unlink()
    with pytest.raises(InputNotFoundError):
        Finishing(JOB, str(file), receipts).finish()
    assert file.read_text() == "before"
    assert not list(tmp_path.glob(".*"))


def test_a_folder_gets_a_list_of_its_parts(tmp_path: Path) -> None:
    url = f"{tmp_path}/out/"
    receipts = put(url, [[1, 2], [3]])
    hidden = tmp_path / "out" / f".{JOB}-000001-a1.tmp"
    hidden.touch()
    finishing = Finishing(JOB, url, receipts)
    finishing.finish()
    finishing.clean()
    manifest = json.loads((tmp_path / "out" / "_manifest.json").read_text())
    assert manifest["rows"] == 3
    assert [part["rows"] for part in manifest["parts"]] == [2, 1]
    assert manifest["parts"][0]["name"] == f"{JOB}-000000.jsonl"
    assert manifest["parts"][0]["sha256"] == receipts[0][1].digest
    assert not hidden.exists()
    assert len(list((tmp_path / "out").glob("*.jsonl"))) == 2
