"""What a job was begun with is told from what it would go on with, part by part."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from openautoglm.errors import JobChangedError
from openautoglm.jobs.checking import check
from openautoglm.jobs.fingerprints import check_unchanged, check_work, differences, fingerprint
from openautoglm.jobs.spec import JobSpec
from openautoglm.jobs.works.digest import of_folder, of_model

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.jobs.conftest import Desk


def marks(desk: Desk, **fields: Any) -> dict[str, str]:  # noqa: ANN401 - the fields of a job
    checked = check(desk.job(**fields))
    return fingerprint(checked.spec, checked.intent, checked.description)


def changed(desk: Desk, was: dict[str, str], **fields: Any) -> list[str]:  # noqa: ANN401 - as above
    lines = differences(was, marks(desk, **fields))
    return [line.partition(":")[0] for line in lines]


def test_the_same_job_has_the_same_fingerprint(desk: Desk) -> None:
    desk.number(3)
    assert marks(desk, template="{text}") == marks(desk, template="{text}")


def test_each_change_that_matters_is_in_a_part_of_its_own(desk: Desk) -> None:
    desk.number(3)
    was = marks(desk, template="{text}")
    assert changed(desk, was, template="Say {text}") == ["template"]
    assert changed(desk, was, template="{text}", sampling={"seed": 1}) == ["sampling"]
    assert changed(desk, was, template="{text}", schema={"type": "object"}) == ["schema"]
    assert changed(desk, was, template="{text}", shard_rows=7) == ["shard_rows"]
    assert changed(desk, was, template="{text}", keep=("n",)) == ["columns"]
    assert changed(desk, was, template="{text}", model="http://127.0.0.1:1/v1") == ["model"]
    assert changed(desk, was, template="{text}", workers=9, concurrency=1) == []
    desk.number(4)
    assert changed(desk, was, template="{text}") == ["source in.jsonl"]


def test_another_function_and_another_pipeline_are_told(desk: Desk) -> None:
    desk.number(3)
    was = marks(desk, function="job_functions:double")
    assert changed(desk, was, function="job_functions:slow") == ["function"]
    was = marks(desk, pipeline="classify")
    assert "model" in was
    assert changed(desk, was, pipeline="summarize") == ["pipeline"]


def test_a_difference_is_refused_and_says_what_was_and_what_is() -> None:
    with pytest.raises(JobChangedError) as caught:
        check_unchanged({"model": "a", "sink": "x"}, {"model": "b", "sink": "x"}, job="j")
    assert "model: was a, is b" in str(caught.value)
    assert "sink" not in str(caught.value.got)
    check_unchanged({"model": "a"}, {"model": "a"}, job="j")


def test_a_model_folder_is_its_content_and_not_its_times(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(b"a" * (5 << 20))
    spec = JobSpec(source="a", sink="b", template="{t}", model=str(tmp_path))
    was = of_model(spec)
    weights.touch()
    assert of_model(spec) == was
    weights.write_bytes(b"a" * ((5 << 20) - 1) + b"b")
    assert of_model(spec) != was
    before = of_folder(tmp_path)
    (tmp_path / "config.json").write_text('{"a": 1}')
    assert of_folder(tmp_path) != before


def test_the_model_of_the_settings_counts_where_none_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spec = JobSpec(source="a", sink="b", template="{t}")
    monkeypatch.delenv("OPENAUTOGLM_MODEL", raising=False)
    nano = of_model(spec)
    monkeypatch.setenv("OPENAUTOGLM_MODEL", "http://127.0.0.1:1/v1")
    assert of_model(spec) == "http://127.0.0.1:1/v1"
    assert of_model(JobSpec(source="a", sink="b", template="{t}", backend="nano")) == nano


def test_a_helper_beside_a_function_counts_as_the_function(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.number(1)
    file = desk.folder / "asks_here.py"
    file.write_text("def help(text): return text\ndef ask(row): return {'a': help(row['text'])}\n")
    monkeypatch.syspath_prepend(str(desk.folder))
    was = marks(desk, function="asks_here:ask")
    assert "asks_here.py" in was["function"]
    file.write_text(file.read_text().replace("return text", "return text.upper()"))
    assert changed(desk, was, function="asks_here:ask") == ["function"]


def test_a_function_of_python_itself_counts_by_its_version(desk: Desk) -> None:
    desk.number(1)
    assert "Python 3." in marks(desk, function="sys:intern")["function"]


def test_a_revision_that_was_not_known_yet_is_no_other_model() -> None:
    was = {"model": "Qwen/Qwen3-8B"}
    assert list(differences(was, {"model": "Qwen/Qwen3-8B 4f2a 99aa"})) == []
    assert list(differences({"model": "Qwen/Qwen3-8B 4f2a 99aa"}, was)) != []
    assert list(differences(was, {"model": "Qwen/Qwen3-8B-Base 4f2a"})) != []


def test_what_works_on_rows_is_compared_without_source_and_sink() -> None:
    was = {"source in.jsonl": "1", "shard_rows": "10", "columns": "c", "sink": "s", "model": "a"}
    check_work(was, {"model": "a"}, job="j")
    check_work({}, {"model": "a"}, job="j")
    with pytest.raises(JobChangedError, match="model: was a, is b"):
        check_work(was, {"model": "b"}, job="j")
