"""A job is the same from any folder, whatever becomes of the files it was described with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from openautoglm import PromptStore, PromptTemplate
from openautoglm.errors import (
    InputDecodeError,
    InputNotFoundError,
    PromptNotFoundError,
    UnknownNameError,
)
from openautoglm.jobs.embedding import embedded
from openautoglm.jobs.spec import JobSpec
from openautoglm.pipeline.graph import Pipeline

if TYPE_CHECKING:
    from pathlib import Path

SPEC = JobSpec(source="in.jsonl", sink="out/", template="{text}")


def with_template(template: str) -> JobSpec:
    return JobSpec(source="in.jsonl", sink="out/", template=template)


def with_pipeline(pipeline: str) -> JobSpec:
    return JobSpec(source="in.jsonl", sink="out/", pipeline=pipeline)


def test_paths_become_absolute_and_urls_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    spec = embedded(JobSpec(source="in.jsonl", sink="jsonl+file://out/", template="{text}"))
    assert spec.source == f"{tmp_path}/in.jsonl"
    assert spec.sink == f"jsonl+file://{tmp_path}/out/"
    assert embedded(spec) == spec
    assert embedded(SPEC).sink == f"{tmp_path}/out/"
    far = JobSpec(source="csv+s3://lake/a.csv", sink="postgresql://db/x?table=t", template="{a}")
    assert (embedded(far).source, embedded(far).sink) == (far.source, far.sink)


def test_a_model_that_is_here_becomes_absolute_and_a_name_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "weights").mkdir()
    here = JobSpec(source="a", sink="b", template="{t}", model="weights")
    assert embedded(here).model == f"{tmp_path}/weights"
    hub = JobSpec(source="a", sink="b", template="{t}", model="Qwen/Qwen3-8B")
    assert embedded(hub).model == "Qwen/Qwen3-8B"


def test_a_task_and_a_file_become_the_text_of_the_pipeline(tmp_path: Path) -> None:
    text = embedded(with_pipeline("classify")).pipeline
    assert text is not None
    assert Pipeline.from_yaml(text).name == "classify"
    file = tmp_path / "own.yaml"
    file.write_text(text.replace("name: classify", "name: own"), encoding="utf-8")
    mine = embedded(with_pipeline(str(file)))
    assert mine.pipeline is not None
    assert Pipeline.from_yaml(mine.pipeline).name == "own"
    assert embedded(mine) == mine


def test_a_template_is_read_from_a_file_and_a_text_stays_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "ask.txt"
    file.write_text("Summarise: {text}\n", encoding="utf-8")
    assert embedded(with_template(str(file))).template == "Summarise: {text}"
    chat = tmp_path / "chat.json"
    chat.write_text('[{"role": "user", "content": "{text}"}]', encoding="utf-8")
    assert embedded(with_template(str(chat))).template == ({"role": "user", "content": "{text}"},)
    for text in ("Say {text} in notes.txt", "Two lines\nin notes.txt", "no end"):
        assert embedded(with_template(text)).template == text


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputNotFoundError, match=r"missing\.txt"):
        embedded(with_template(f"{tmp_path}/missing.txt"))
    with pytest.raises(UnknownNameError, match="clasify"):
        embedded(with_pipeline("clasify"))
    bad = tmp_path / "bad.json"
    bad.write_text("{}", encoding="utf-8")
    with pytest.raises(InputDecodeError, match=r"bad\.json"):
        embedded(with_template(str(bad)))
    bad.write_bytes(b"\xff")
    with pytest.raises(InputDecodeError, match="UTF-8"):
        embedded(with_template(str(bad)))


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PromptStore:
    monkeypatch.setenv("OPENAUTOGLM_PROMPTS", str(tmp_path / "prompts"))
    made = PromptStore(tmp_path / "prompts")
    made.save("sum-up", PromptTemplate("Sum up: {text}", ["text"]))
    made.alias("sum-up", "production", 1)
    return made


@pytest.mark.parametrize(
    "fields",
    [
        {"prompt": "sum-up"},
        {"prompt": "sum-up@1"},
        {"prompt": "sum-up@production"},
        {"template": "sum-up@production"},
    ],
)
def test_a_stored_prompt_becomes_the_text_it_is_now(
    store: PromptStore, fields: dict[str, Any]
) -> None:
    spec = embedded(JobSpec(source="in.jsonl", sink="out/", **fields))
    assert (spec.template, spec.prompt) == ("Sum up: {text}", None)
    assert spec.prompts == {"template": "sum-up@1"}
    store.save("sum-up", PromptTemplate("Shorter: {text}", ["text"]))
    store.alias("sum-up", "production", 2)
    assert embedded(spec) == spec


def test_a_stored_chat_becomes_its_messages(store: PromptStore) -> None:
    chat = PromptTemplate([{"role": "user", "content": "{text}"}], ["text"])
    store.save("chat", chat)
    spec = embedded(JobSpec(source="in.jsonl", sink="out/", prompt="chat"))
    assert spec.template == ({"role": "user", "content": "{text}"},)


def test_the_stored_prompts_of_a_pipeline_become_their_texts(store: PromptStore) -> None:
    pipeline = """
name: sum
inputs: {text: {to: ask.text}}
components: {ask: {type: prompt.render, params: {prompt: sum-up@production}}}
outputs: {asked: ask.prompt}
"""
    spec = embedded(with_pipeline(pipeline))
    assert spec.prompts == {"ask": "sum-up@1"}
    store.save("sum-up", PromptTemplate("Shorter: {text}", ["text"]))
    store.alias("sum-up", "production", 2)
    assert spec.pipeline is not None
    result = Pipeline.from_yaml(spec.pipeline).run(text="a lot")
    assert result.outputs["asked"] == "Sum up: a lot"
    assert embedded(spec) == spec


def test_a_prompt_that_is_not_in_the_store_is_named_with_the_nearest(store: PromptStore) -> None:
    assert store.names() == ("sum-up",)
    with pytest.raises(PromptNotFoundError, match=r"did you mean `sum-up`"):
        embedded(JobSpec(source="in.jsonl", sink="out/", prompt="sumup"))
    with pytest.raises(PromptNotFoundError, match="no version or alias `staging`"):
        embedded(with_template("sum-up@staging"))
