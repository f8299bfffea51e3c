"""The generator, the tokenizer and the training path of nano; nothing is trained here."""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path

import pytest

NANO = Path(__file__).resolve().parents[3] / "models" / "nano"
sys.path.insert(0, str(NANO))

# ruff: noqa: E402 - these lie beside the model, on a path that is set above
# mypy: disable-error-code="import-not-found"
import llguidance
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedTokenizerFast,
    Qwen2ForCausalLM,
)

import answers
import banks
import generate
import grammar
import instructions
import template
import train
import values
from architecture import Shape, build
from batches import NO_TAG, TAGS, Encoder, collate
from card import card
from release import FIGURES, WEIGHTS

CHATS = [chat for _, chat in zip(range(600), generate.stream(11), strict=False)]


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return AutoTokenizer.from_pretrained(WEIGHTS)


@pytest.fixture
def small() -> Qwen2ForCausalLM:
    torch.manual_seed(0)
    return build(Shape(vocabulary=300, layers=2, inter=64), pad=0, end=5)


def test_the_same_seed_gives_the_same_chats() -> None:
    again = [chat for _, chat in zip(range(600), generate.stream(11), strict=False)]
    assert again == CHATS
    assert next(generate.stream(12)) != CHATS[0]


def test_every_value_is_a_substring_of_its_text() -> None:
    for chat in CHATS:
        if chat.case is None:
            continue
        for value in chat.case.facts.as_dict().values():
            assert value is None or value in chat.case.text


def test_no_mark_is_left_in_a_text() -> None:
    shown = "".join(turn.user + turn.answer for chat in CHATS for turn in chat.turns)
    assert not set(shown) & template.MARKS
    assert "{name}" not in shown
    assert "[[" not in shown


def test_extract_answers_are_compact_json_with_the_five_fields_in_order() -> None:
    records = [t.answer for chat in CHATS for t in chat.turns if t.task == "extract"]
    assert records
    for record in records:
        parsed = json.loads(record)
        assert tuple(parsed) == template.FIELDS
        assert json.dumps(parsed, ensure_ascii=False, separators=(",", ":")) == record


def test_every_task_label_and_language_occurs() -> None:
    cases = [chat.case for chat in CHATS if chat.case is not None]
    assert {case.lang for case in cases} == set(banks.LANGS)
    assert {case.label for case in cases} == set(banks.LABELS)
    assert {t.task for chat in CHATS for t in chat.turns} >= set(instructions.TASKS)


@pytest.mark.parametrize("lang", banks.LANGS)
def test_heldout_banks_share_nothing_with_the_training_banks(lang: banks.Lang) -> None:
    seen, held = banks.load(lang), banks.load(lang, banks.HELDOUT)
    assert not {m.text for m in seen.messages} & {m.text for m in held.messages}
    assert not {g.lead for g in seen.general} & {g.lead for g in held.general}
    for section in ("brand", "full"):
        assert not set(seen.products.get(section, ())) & set(held.products.get(section, ()))
    assert not set(seen.names.get("full", ())) & set(held.names.get("full", ()))


@pytest.mark.parametrize("lang", banks.LANGS)
def test_no_handwritten_text_is_in_a_training_bank(lang: banks.Lang) -> None:
    rows = [json.loads(x) for x in (NANO / "handwritten.jsonl").read_text("utf-8").splitlines()]
    bank = {m.text for m in banks.load(lang).messages}
    assert not {row["text"] for row in rows} & bank
    for row in rows:
        assert row["label"] in banks.LABELS
        for value in row["facts"].values():
            assert value is None or value in row["text"]


@pytest.mark.parametrize(
    "line",
    [
        "billing | no issue here",
        "weather | [[rain]]",
        "billing | [[charged twice]] {nmae}",
        "billing | {name} and {name}: [[charged twice]]",
    ],
)
def test_a_bank_line_that_breaks_the_format_is_refused(line: str) -> None:
    with pytest.raises(banks.BankError, match="got:"):
        banks.parse_message(line)


def test_alternatives_expand_from_the_inside() -> None:
    r = random.Random(0)  # noqa: S311 - seeded, no secret
    drawn = {template.expand("{a{b|c}|d} {name}", r) for _ in range(50)}
    assert drawn == {"ab {name}", "ac {name}", "d {name}"}


def test_marks_give_the_values_back() -> None:
    r = random.Random(3)  # noqa: S311 - seeded, no secret
    bank = banks.load("en")
    marked = template.fill("{name} says [[the {product} leaks]], order {order_id}.", r, bank, 0.0)
    text, facts = template.unmark(marked)
    assert facts.date is None
    assert facts.product is not None
    assert facts.issue == f"the {facts.product} leaks"
    assert text == f"{facts.name} says {facts.issue}, order {facts.order_id}."


def test_a_lead_keeps_its_words_and_gets_a_full_stop() -> None:
    assert answers.lead_summary("人工智能正在快速发展...", "zh") == "人工智能正在快速发展。"
    assert answers.lead_summary("Rain is expected!", "en") == "Rain is expected."


def test_dates_and_order_numbers_need_no_json_escape() -> None:
    r = random.Random(1)  # noqa: S311 - seeded, no secret
    drawn = [values.order_id(r) for _ in range(300)] + [values.date(r, "zh") for _ in range(300)]
    assert all(json.dumps(v, ensure_ascii=False) == f'"{v}"' for v in drawn)


def test_the_chat_template_renders_every_role(tokenizer: PreTrainedTokenizerFast) -> None:
    chat = [
        {"role": "system", "content": "S"},
        {"role": "user", "content": "一"},
        {"role": "assistant", "content": "A"},
        {"role": "user", "content": "b"},
    ]
    shown = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    assert shown == "<|system|>S<|user|>一<|assistant|>A<|end|><|user|>b<|assistant|>"


def test_training_rows_are_what_the_chat_template_renders(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    encoder = Encoder(tokenizer)
    for chat in CHATS[:50]:
        messages = [{"role": "system", "content": chat.system}] if chat.system else []
        for turn in chat.turns:
            messages += [{"role": "user", "content": turn.user}]
            messages += [{"role": "assistant", "content": turn.answer}]
        shown = tokenizer.apply_chat_template(messages, tokenize=False)
        ids, weights = encoder.encode(chat)
        assert ids == tokenizer.encode(shown, add_special_tokens=False)
        assert len(weights) == len(ids)


def test_a_copied_value_has_one_spelling(tokenizer: PreTrainedTokenizerFast) -> None:
    for value in ("Plumtree jam box", "张婷", "KD-55120", "3 May 2026"):
        alone = tokenizer.encode(value, add_special_tokens=False)
        for around in (f'"{value}"', f"a {value},", f"我{value}。"):
            ids = tokenizer.encode(around, add_special_tokens=False)
            assert any(ids[i : i + len(alone)] == alone for i in range(len(ids)))


def test_the_embedding_has_a_row_for_every_piece(tokenizer: PreTrainedTokenizerFast) -> None:
    config = json.loads((WEIGHTS / "config.json").read_text("utf-8"))
    assert config["vocab_size"] == len(tokenizer)


def test_text_survives_the_tokenizer(tokenizer: PreTrainedTokenizerFast) -> None:
    for text in ("Hello — 你好！\n\tnull {x} 😀", "龘 Ünïcode"):
        assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False)) == text


def test_the_training_path_is_causal_before_and_after_an_export(
    small: Qwen2ForCausalLM, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    small.config._attn_implementation = "eager"
    assert train.is_causal(small)
    train.export(small, tokenizer, tmp_path)
    assert small.config._attn_implementation == "eager"
    assert train.is_causal(small)


def test_the_exported_folder_is_the_same_function_and_cuts_text_the_same(
    small: Qwen2ForCausalLM, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    train.export(small, tokenizer, tmp_path)
    text = "人工智能 K-256 soon as"
    ids = tokenizer.encode(text, add_special_tokens=False)
    assert AutoTokenizer.from_pretrained(tmp_path).encode(text, add_special_tokens=False) == ids
    exported = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
    stored = {name: weight.bfloat16().float() for name, weight in small.state_dict().items()}
    small.load_state_dict(stored)
    with torch.no_grad():
        some = torch.arange(16)[None]
        assert torch.allclose(small(some).logits, exported(some).logits, atol=1e-4)


def test_a_model_without_a_mask_is_noticed(small: Qwen2ForCausalLM) -> None:
    small.config._attn_implementation = None
    assert not train.is_causal(small)


def test_only_answers_carry_weight() -> None:
    rows = [([1, 2, 3, 4], [0.0, 0.0, 1.0, 0.5], [-100, 0, 1, 0]), ([1, 9], [0.0, 1.0], [0, 2])]
    batch = collate(rows, pad=0, width=4)
    assert batch.inputs.shape == batch.targets.shape == (2, 4)
    assert batch.weights[0].tolist() == [0.0, 1.0, 0.5, 0.0]
    assert batch.targets[1].tolist() == [9, 0, 0, 0]
    assert not batch.weights[1, 1:].any()
    assert batch.tags[1].tolist() == [0, 2, NO_TAG, NO_TAG]


def test_tags_mark_the_tokens_of_a_fact_and_where_it_begins(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    encoder = Encoder(tokenizer)
    for chat in CHATS[:100]:
        ids, weights, tags = encoder.encode_tagged(chat)
        assert len(ids) == len(weights) == len(tags)
        if chat.case is not None and chat.case.facts.order_id is not None:
            begin = tags.index(TAGS.index("start of order_id"))
            shown = tokenizer.decode(ids[begin : begin + 40])
            assert shown.startswith(chat.case.facts.order_id)


def test_the_rate_warms_up_and_falls_to_the_floor() -> None:
    plan = train.Plan(run=Path("x"), minutes=10, warmup_steps=10)
    assert train.rate_scale(plan, train.Progress(step=0)) == pytest.approx(0.1)
    assert train.rate_scale(plan, train.Progress(step=50)) == 1.0
    done = train.Progress(step=50, elapsed_s=600)
    assert train.rate_scale(plan, done) == pytest.approx(plan.floor)


def test_the_card_says_what_was_measured() -> None:
    kept = json.loads(FIGURES.read_text(encoding="utf-8"))
    shown = (WEIGHTS / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert shown == card(kept["training"], kept["scores"])


def test_the_grammar_allows_parts_of_the_text_alone() -> None:
    vocabulary = llguidance.LLTokenizer("byte")
    text = 'Say "hi" to Ann\nBob'

    def accepts(name: str) -> bool:
        matcher = llguidance.LLMatcher(vocabulary, grammar.extract_grammar(text))
        answer = f'{{"name":{name},"product":null,"order_id":null,"date":null,"issue":null}}'
        taken = matcher.consume_tokens(vocabulary.tokenize_str(answer))
        return bool(taken and matcher.is_accepting())

    assert accepts('"Ann"')
    assert accepts("null")
    assert not accepts('"Anna"')
    assert not accepts('"Ann\\nBob"')
