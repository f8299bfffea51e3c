"""Code as users write it; mypy checks the types it gets, pytest that it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_type

from openautoglm import AutoGLM, Generation, PromptStore, PromptTemplate, SamplingParams
from openautoglm.prompts.messages import ChatMessage
from openautoglm.testing import EchoBackend

if TYPE_CHECKING:
    from pathlib import Path


def test_a_text_template_gives_text_and_a_chat_template_gives_messages() -> None:
    text = PromptTemplate(template="摘要:{content}", input_variables=["content"])
    assert_type(text.format(content="…"), str)
    chat = PromptTemplate([{"role": "user", "content": "{q}"}], ["q"])
    assert_type(chat.format(q="why"), list[ChatMessage])
    with AutoGLM(backend=EchoBackend()) as engine:
        assert_type(engine.run(text.format(content="…")), Generation)
        assert str(engine.run(chat.format(q="why"))) == "why"


def test_a_store_takes_templates_of_both_kinds_as_they_are(tmp_path: Path) -> None:
    def written(text: str) -> PromptTemplate:
        return PromptTemplate(text, ["q"])

    store = PromptStore(tmp_path)
    text = PromptTemplate("{q}?", ["q"])
    chat = PromptTemplate([{"role": "user", "content": "{q}!"}], ["q"])
    for template in (text, chat, written("{q}")):
        store.save("ask", template)
    saved = store.save("ask", PromptTemplate(template="{q}", input_variables=["q"]))
    assert saved.version.number == 3
    assert_type(store.get("ask"), PromptTemplate)


def test_many_prompts_give_many_generations() -> None:
    with AutoGLM(backend=EchoBackend()) as engine:
        rows = engine.generate(["a", "b"], SamplingParams(max_length=4))
        assert_type(rows, list[Generation])
        assert [str(row) for row in rows] == ["a", "b"]
        for row in engine.batch(["a"], temperature=0.5, seed=1):
            assert_type(row, Generation)
