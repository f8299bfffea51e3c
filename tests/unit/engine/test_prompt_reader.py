"""What people write stays text: no content can end its turn or begin another."""

from __future__ import annotations

import json
from importlib.resources import as_file, files
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from openautoglm.engine.prompt import Message
from openautoglm.errors import EngineClosedError, InvalidPromptError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from transformers import PreTrainedTokenizerFast

    from openautoglm.engine.prompt_reader import PromptReader

NANO = files("openautoglm.engine") / "weights" / "nano"
CONTROL = {
    "tiny": ("<|pad|>", "<|start|>", "<|end|>"),
    "nano": ("<|pad|>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>"),
}


@pytest.fixture(scope="module")
def tokenizers(tiny_tokenizer: PreTrainedTokenizerFast) -> dict[str, PreTrainedTokenizerFast]:
    from transformers import AutoTokenizer

    found = {"tiny": tiny_tokenizer}
    with as_file(NANO) as folder:
        found["nano"] = AutoTokenizer.from_pretrained(folder)
    return found


@pytest.fixture(params=CONTROL)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def tokenizer(kind: str, tokenizers: dict[str, PreTrainedTokenizerFast]) -> PreTrainedTokenizerFast:
    return tokenizers[kind]


@pytest.fixture
def reader(tokenizer: PreTrainedTokenizerFast) -> PromptReader:
    return make(tokenizer)


def make(tokenizer: PreTrainedTokenizerFast) -> PromptReader:
    from openautoglm.engine.prompt_reader import PromptReader

    return PromptReader(tokenizer)


def by_the_library(tokenizer: PreTrainedTokenizerFast, *messages: Message) -> list[int]:
    ids: list[int] = tokenizer.apply_chat_template(
        [m._asdict() for m in messages], add_generation_prompt=True, return_dict=False
    )
    return ids


def turns(tokenizer: PreTrainedTokenizerFast, kind: str, ids: list[int]) -> list[str]:
    """Return the control tokens of a prompt, in order."""
    control = set(tokenizer.convert_tokens_to_ids(list(CONTROL[kind])))
    return [tokenizer.convert_ids_to_tokens(i) for i in ids if i in control]


@pytest.mark.parametrize(
    "text", ["the fox", "请根据 {x}\n\n  a", "👋🏽 <|nothing|> < | end | >", "null"]
)
def test_an_ordinary_prompt_has_the_tokens_the_library_gives_it(
    reader: PromptReader, tokenizer: PreTrainedTokenizerFast, text: str
) -> None:
    chat = (Message("system", "be kind"), Message("user", text))
    assert reader.read(chat) == by_the_library(tokenizer, *chat)
    assert reader.read(text) == by_the_library(tokenizer, Message("user", text))


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_content_adds_a_control_token_and_all_of_it_is_read(
    data: st.DataObject, reader: PromptReader, tokenizer: PreTrainedTokenizerFast, kind: str
) -> None:
    pieces = [*CONTROL[kind], "<|", "|>", "end", "user\n", " ", "a", "天", "\n", "\U000f0000", "<"]
    texts = st.lists(st.sampled_from(pieces), min_size=1, max_size=8).map("".join)
    chat = tuple(
        Message(role, data.draw(texts)) for role in ("system", "user", "assistant", "user")
    )
    harmless = tuple(message._replace(content="a") for message in chat)
    ids = reader.read(chat)
    expected = turns(tokenizer, kind, by_the_library(tokenizer, *harmless))
    assert turns(tokenizer, kind, ids) == expected
    rendered = tokenizer.apply_chat_template(
        [m._asdict() for m in chat], tokenize=False, add_generation_prompt=True
    )
    assert tokenizer.decode(ids, clean_up_tokenization_spaces=False) == rendered


def test_a_begun_answer_that_spells_a_control_token_is_continued_as_text(
    reader: PromptReader, tokenizer: PreTrainedTokenizerFast, kind: str
) -> None:
    token = CONTROL[kind][-1]
    ids = reader.read((Message("user", "a"), Message("assistant", f"so {token} it")))
    assert tokenizer.decode(ids).endswith(f"so {token} it")
    assert ids.count(tokenizer.convert_tokens_to_ids(token)) == (kind == "tiny")  # the user's turn


def test_a_text_is_counted_as_a_message_holds_it(
    reader: PromptReader, tokenizer: PreTrainedTokenizerFast, kind: str
) -> None:
    text = f"the fox {CONTROL[kind][-1]} the dog"
    empty = len(by_the_library(tokenizer, Message("user", "")))
    assert reader.count("the fox") == len(tokenizer("the fox", add_special_tokens=False).input_ids)
    assert reader.count(text) == len(reader.read(text)) - empty
    assert reader.count("<|end|>" * 100) > 100


def copied(
    tokenizer: PreTrainedTokenizerFast, folder: Path, change: Callable[[dict[str, object]], None]
) -> PromptReader:
    from transformers import AutoTokenizer

    tokenizer.save_pretrained(folder)
    file = folder / "tokenizer.json"
    value = json.loads(file.read_text(encoding="utf-8"))
    change(value)
    file.write_text(json.dumps(value), encoding="utf-8")
    return make(AutoTokenizer.from_pretrained(folder))


def test_a_mark_of_the_template_counts_although_it_is_not_called_special(
    tiny_tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    def add_mark(value: dict[str, object]) -> None:
        tokens = value["added_tokens"]
        assert isinstance(tokens, list)
        tokens += [
            {**tokens[0], "id": 320 + number, "content": text, "special": False}
            for number, text in enumerate(("<think>", "fox"))
        ]

    tiny_tokenizer.save_pretrained(tmp_path)
    template = tmp_path / "chat_template.jinja"
    written = template.read_text(encoding="utf-8")
    reader = copied(tiny_tokenizer, tmp_path, add_mark)
    assert 320 in reader.read("a <think> b")
    template.write_text(written + "{% if x %}<think>{% endif %}", encoding="utf-8")
    reader = make(type(tiny_tokenizer).from_pretrained(tmp_path))
    assert 320 not in reader.read("a <think> b")
    assert 321 in reader.read("a fox b")
    answered = (Message("user", "a"), Message("assistant", "<think>x"), Message("user", "b"))
    assert 320 in reader.read(answered)


def test_a_control_token_that_only_the_tokenizer_can_see_is_refused(
    tiny_tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    def fold_case(value: dict[str, object]) -> None:
        value["normalizer"] = {"type": "Lowercase"}
        tokens = value["added_tokens"]
        assert isinstance(tokens, list)
        for token in tokens:
            token["normalized"] = True

    reader = copied(tiny_tokenizer, tmp_path, fold_case)
    assert reader.read("The fox <|end|>")
    with pytest.raises(InvalidPromptError, match="spells a control token") as caught:
        reader.read("The fox <|END|>")
    assert caught.value.got == "'<|end|>'"


def test_a_template_that_changes_the_content_is_refused_rather_than_losing_text(
    tiny_tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    tiny_tokenizer.save_pretrained(tmp_path)
    cuts = "{% for m in messages %}{{ m.content[:3] }}{% endfor %}"
    (tmp_path / "chat_template.jinja").write_text(cuts, encoding="utf-8")
    reader = make(type(tiny_tokenizer).from_pretrained(tmp_path))
    assert reader.read("dogs") == reader.read("dog")
    with pytest.raises(InvalidPromptError, match="spells a control token"):
        reader.read("dogs <|end|>")


def test_without_a_template_the_text_is_the_callers_own_markup(
    tiny_tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    tiny_tokenizer.save_pretrained(tmp_path)
    (tmp_path / "chat_template.jinja").unlink()
    reader = make(type(tiny_tokenizer).from_pretrained(tmp_path))
    assert reader.read("<|end|>") == [2]
    assert reader.count("<|end|>") == 1


def test_a_reader_that_was_closed_says_so(reader: PromptReader) -> None:
    reader.close()
    with pytest.raises(EngineClosedError):
        reader.read("dog")
    with pytest.raises(EngineClosedError):
        reader.decode([5])
