"""The JSON schema of a pipeline file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from openautoglm.pipeline.catalog import TASKS
from openautoglm.pipeline.nodes import read_nodes
from openautoglm.pipeline.schema import pipeline_schema
from openautoglm.registry import CORE_OWNER

COMMITTED = Path(__file__).parents[3] / "spec/pipeline.schema.json"
SCHEMA = pipeline_schema(owner=CORE_OWNER)


def test_the_committed_schema_is_the_one_the_steps_make() -> None:
    assert json.loads(COMMITTED.read_text(encoding="utf-8")) == SCHEMA, (
        "run: python -m openautoglm.pipeline.schema > spec/pipeline.schema.json"
    )


def test_the_schema_is_a_schema() -> None:
    Draft202012Validator.check_schema(SCHEMA)


def file_of(task: str) -> dict[str, object]:
    plain = read_nodes(TASKS.get(task).read_text(encoding="utf-8"), name=task).plain()
    assert isinstance(plain, dict)
    return plain


@pytest.mark.parametrize("task", TASKS.names())
def test_a_shipped_task_follows_the_schema(task: str) -> None:
    Draft202012Validator(SCHEMA).validate(file_of(task))


@pytest.mark.parametrize(
    "change",
    [
        {"nmae": "x"},
        {"components": {"a": {"type": "text.cleen"}}},
        {"components": {"a": {"type": "text.clean", "params": {"htlm": True}}}},
        {"components": {"a": {"type": "text.clean", "params": {"html": "yes"}}}},
        {"outputs": {}},
        {"outputs": {"result": "merge"}},
        {"connections": [{"sender": "a.b"}]},
    ],
    ids=str,
)
def test_a_file_with_a_fault_does_not(change: dict[str, object]) -> None:
    assert not Draft202012Validator(SCHEMA).is_valid({**file_of("extract"), **change})
