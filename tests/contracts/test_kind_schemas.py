"""The JSON schemas of jobs and schedules are those the structs make, and take what is shipped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from jsonschema import Draft202012Validator

from openautoglm.jobs.kinds_schema import job_schema, schedule_schema
from openautoglm.pipeline.nodes import read_documents

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).parents[2]
MADE: Mapping[str, dict[str, object]] = {"Job": job_schema(), "Schedule": schedule_schema()}
DOCUMENTS = [
    plain
    for file in ("batch.yaml", "nightly.yaml")
    for node in read_documents((ROOT / "examples" / file).read_text(encoding="utf-8"), name=file)
    if isinstance(plain := node.plain(), dict)
]


@pytest.mark.parametrize("kind", MADE)
def test_the_committed_schema_is_the_one_the_structs_make(kind: str) -> None:
    name = kind.lower()
    committed = json.loads((ROOT / f"spec/{name}.schema.json").read_text(encoding="utf-8"))
    assert committed == MADE[kind], (
        f"run: python -m openautoglm.jobs.kinds_schema {name} > spec/{name}.schema.json"
    )


@pytest.mark.parametrize("kind", MADE)
def test_the_schema_is_a_schema_whose_fields_are_all_described(kind: str) -> None:
    Draft202012Validator.check_schema(MADE[kind])
    definitions = MADE[kind]["$defs"]
    assert isinstance(definitions, dict)
    for definition in definitions.values():
        for name, field in definition["properties"].items():
            assert "description" in field or name == "job", name


def errors_of(document: Mapping[str, object]) -> list[str]:
    validator = Draft202012Validator(MADE[str(document["kind"])])
    return [error.message for error in validator.iter_errors(document)]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda d: str(d["kind"]))
def test_a_shipped_document_follows_its_schema(document: Mapping[str, object]) -> None:
    assert errors_of(document) == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda d: str(d["kind"]))
@pytest.mark.parametrize(
    "change",
    [
        {"apiVersion": "openautoglm/v2"},
        {"metadata": {}},
        {"metadata": {"name": ""}},
        {"spec": {}},
        {"more": 1},
    ],
    ids=str,
)
def test_a_document_with_a_fault_does_not(
    document: Mapping[str, object], change: Mapping[str, object]
) -> None:
    assert errors_of({**document, **change})


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda d: str(d["kind"]))
@pytest.mark.parametrize(
    "change", [{"wrkers": 1}, {"sink": 7}, {"overlap": "never"}, {"name": "x"}], ids=str
)
def test_a_spec_with_a_fault_does_not(
    document: Mapping[str, object], change: Mapping[str, object]
) -> None:
    spec = document["spec"]
    assert isinstance(spec, dict)
    assert errors_of({**document, "spec": {**spec, **change}})
