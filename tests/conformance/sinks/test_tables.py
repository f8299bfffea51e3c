"""The suite of sinks over tables of SQLite and PostgreSQL, and over answers to batches."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from openautoglm.data import SINKS, open_source
from openautoglm.data.remote import remote_sink
from openautoglm.testing import LocalRemote, prove

if TYPE_CHECKING:
    from pathlib import Path


class Named:
    point = "sink"
    contract = 1
    name = "any"


@pytest.mark.parametrize("is_remote", [False, True], ids=["here", "in a worker"])
def test_a_table_of_sqlite_keeps_the_contract(tmp_path: Path, *, is_remote: bool) -> None:
    opener: Any = SINKS.get("sqlite")
    if is_remote:
        opener = remote_sink(LocalRemote("sink", opener), Named())
    url = f"sqlite:///{tmp_path}/out.db?table=t{{n}}&key=id"
    findings = prove("sink", opener, name="sqlite", url=url, part_url=url)
    assert {finding.status for finding in findings} == {"pass"}


def test_a_database_that_is_not_there_keeps_the_contract(tmp_path: Path) -> None:
    opener: Any = SINKS.get("sqlite")
    url = f"sqlite:///{tmp_path}/out{{n}}.db?table=rows&key=id"
    findings = prove("sink", opener, name="sqlite", url=url, part_url=url)
    assert {finding.status for finding in findings} == {"pass"}


def test_a_table_of_postgresql_keeps_the_contract(postgres_url: str) -> None:
    opener: Any = SINKS.get("postgresql")
    url = f"{postgres_url}?table=t{{n}}&key=id"
    findings = prove("sink", opener, name="postgresql", url=url, part_url=url)
    assert {finding.status for finding in findings} == {"pass"}


def said(url: str) -> list[dict[str, object]]:
    """Return the rows that were written as answers."""
    lines = [record.values for record in open_source(url.replace("openai-batch", "jsonl")).read()]
    rows = []
    for line in lines:
        response: Any = line["response"]
        rest = json.loads(response["body"]["choices"][0]["message"]["content"])
        rows.append({"id": int(str(line["custom_id"])), **rest})
    return rows


@pytest.mark.parametrize("is_remote", [False, True], ids=["here", "in a worker"])
def test_answers_to_a_batch_keep_the_contract(tmp_path: Path, *, is_remote: bool) -> None:
    opener: Any = SINKS.get("openai-batch")
    if is_remote:
        opener = remote_sink(LocalRemote("sink", opener), Named())
    findings = prove(
        "sink",
        opener,
        name="openai-batch",
        url=f"openai-batch://{tmp_path}/out-{{n}}.jsonl?id=id",
        part_url=f"openai-batch://{tmp_path}/parts-{{n}}/?id=id",
        reader=lambda url: said(url.partition("?")[0]),
    )
    assert {finding.status for finding in findings} == {"pass"}
