"""The same tokens and the same text as transformers, for every kind of tokenizer.json."""

from __future__ import annotations

import json
from copy import deepcopy
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from openautoglm.engine.backends.native.text.chat_template import ChatTemplate
from openautoglm.engine.backends.native.text.tokens import FileTokenizer, Tokens
from openautoglm.engine.model_folder import inspect
from openautoglm.engine.prompt import Message
from openautoglm.engine.prompt_reader import PromptReader
from openautoglm.errors import InvalidPromptError, ModelFolderError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

NANO = files("openautoglm.engine") / "weights" / "nano"
KINDS = ("byte_level", "metaspace", "byte_fallback", "unigram", "word_piece", "nano")
CORPUS = (
    "the quick brown fox",
    "请根据以下内容生成摘要",
    "jumps over, the lazy dog. é ü ñ 👋🏽",
) * 3
SPECIAL = ["<unk>", "<s>", "</s>", "<|user|>"]
TEXTS = ("the fox", "  two  spaces\n\tand a tab ", "请根据 {x}", "👋🏽 <unk> </s> < s >", "x" * 50)
CHATS = tuple(
    "".join(parts)
    for parts in (
        [
            "{{ bos_token }}{% for m in messages %}<|user|>{{ m.role }}: {{ m.content }}",
            "{{ eos_token }}\n{% endfor %}",
            "{% if add_generation_prompt %}<|user|>assistant: {% endif %}",
        ],
        [
            "{%- for m in messages %}\n    {%- if m['role'] == 'system' -%}\n",
            "        {{ m | tojson }}\n    {%- else %}\n    {{- m.content | trim }}\n",
            "    {% endif %}\n{% endfor %}",
        ],
        [
            "{% set ns = namespace(n=0) %}{% for m in messages %}",
            "{% if loop.index > 9 %}{% break %}",
            "{% endif %}{% set ns.n = ns.n + 1 %}{% generation %}{{ ns.n }}{{ m.content }}",
            "{% endgeneration %}{% endfor %}{{ dict(a=1) | tojson(indent=2) }}",
            "{{ strftime_now('%Y') }}{{ tools is none }}",
        ],
    )
)


def build(kind: str) -> Tokenizer:
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    kinds: dict[str, tuple[Any, Any, Any, Any]] = {
        "byte_level": (
            models.BPE(),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
            decoders.ByteLevel(),
            trainers.BpeTrainer,
        ),
        "metaspace": (
            models.BPE(unk_token="<unk>"),  # noqa: S106 - no password
            pre_tokenizers.Metaspace(),
            decoders.Metaspace(),
            trainers.BpeTrainer,
        ),
        "byte_fallback": (
            models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True),  # noqa: S106 - as above
            None,
            decoders.Sequence(
                [
                    decoders.Replace("▁", " "),
                    decoders.ByteFallback(),
                    decoders.Fuse(),
                    decoders.Strip(" ", 1, 0),
                ]
            ),
            trainers.BpeTrainer,
        ),
        "unigram": (
            models.Unigram(),
            pre_tokenizers.Metaspace(),
            decoders.Metaspace(),
            trainers.UnigramTrainer,
        ),
        "word_piece": (
            models.WordPiece(unk_token="<unk>"),  # noqa: S106 - as above
            pre_tokenizers.BertPreTokenizer(),
            decoders.WordPiece(),
            trainers.WordPieceTrainer,
        ),
    }
    model, cut, decoder, trainer = kinds[kind]
    tokenizer = Tokenizer(model)
    if cut is not None:
        tokenizer.pre_tokenizer = cut
    tokenizer.decoder = decoder
    more: dict[str, object] = {}
    if kind == "byte_level":
        more["initial_alphabet"] = pre_tokenizers.ByteLevel.alphabet()
    if kind == "unigram":
        more["unk_token"] = SPECIAL[0]
    if kind == "byte_fallback":
        tokenizer.normalizer = normalizers.Sequence(
            [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
        )
    tokenizer.train_from_iterator(
        CORPUS, trainer(vocab_size=400, special_tokens=SPECIAL, show_progress=False, **more)
    )
    if kind == "byte_fallback":
        state = json.loads(tokenizer.to_str())
        vocabulary = state["model"]["vocab"]
        vocabulary |= {f"<0x{n:02X}>": len(vocabulary) + n for n in range(256)}
        return Tokenizer.from_str(json.dumps(state))
    return tokenizer


@pytest.fixture(scope="module", params=KINDS)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    if request.param == "nano":
        with as_file(NANO) as found:
            return Path(found)
    from transformers import PreTrainedTokenizerFast

    made = tmp_path_factory.mktemp(str(request.param))
    PreTrainedTokenizerFast(
        tokenizer_object=build(str(request.param)),
        bos_token="<s>",  # noqa: S106 - no password
        eos_token="</s>",  # noqa: S106 - as above
        unk_token="<unk>",  # noqa: S106 - as above
        pad_token="<pad>",  # noqa: S106 - as above
        additional_special_tokens=["<|user|>"],
        chat_template=CHATS[0],
    ).save_pretrained(made)
    return made


@pytest.fixture(scope="module")
def own(folder: Path) -> FileTokenizer:
    return FileTokenizer(folder)


@pytest.fixture(scope="module")
def theirs(folder: Path) -> PreTrainedTokenizerFast:
    return load(folder)


def load(folder: Path) -> PreTrainedTokenizerFast:
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast.from_pretrained(folder)


def assert_equal(own: FileTokenizer, theirs: PreTrainedTokenizerFast, text: str) -> None:
    for adds in (False, True):
        ids = own(text, add_special_tokens=adds, verbose=False)["input_ids"]
        assert ids == theirs(text, add_special_tokens=adds)["input_ids"]
        for skips in (False, True):
            assert own.decode(
                ids, skip_special_tokens=skips, clean_up_tokenization_spaces=False
            ) == theirs.decode(ids, skip_special_tokens=skips, clean_up_tokenization_spaces=False)


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_has_the_tokens_the_library_gives_it(
    own: FileTokenizer, theirs: PreTrainedTokenizerFast, text: str
) -> None:
    assert_equal(own, theirs, text)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(max_size=30))
def test_any_text_has_the_tokens_the_library_gives_it(
    text: str, own: FileTokenizer, theirs: PreTrainedTokenizerFast
) -> None:
    assert_equal(own, theirs, text)


def test_its_special_tokens_are_those_of_the_library(
    own: FileTokenizer, theirs: PreTrainedTokenizerFast
) -> None:
    assert set(own.all_special_tokens) == set(theirs.all_special_tokens)
    assert {i: t.content for i, t in own.added_tokens_decoder.items()} == {
        i: t.content for i, t in theirs.added_tokens_decoder.items()
    }
    assert own.eos_token_id == theirs.eos_token_id
    assert own.unk_token_id == theirs.unk_token_id
    assert own.highest == max(theirs.get_vocab().values())
    assert own.convert_tokens_to_ids(["the"]) == theirs.convert_tokens_to_ids(["the"])


@pytest.mark.parametrize("is_begun", [False, True])
@pytest.mark.parametrize("last", ["yes", "yes ", " </s> "])
def test_a_chat_is_read_as_with_the_library(
    own: FileTokenizer,
    theirs: PreTrainedTokenizerFast,
    last: str,
    is_begun: bool,  # noqa: FBT001 - a column of the table
) -> None:
    chat = [Message("system", "be kind"), Message("user", "the <unk> fox"), Message("user", last)]
    if is_begun:
        chat[-1] = Message("assistant", last)
    values = [message._asdict() for message in chat]
    assert own.apply_chat_template(
        values, tokenize=False, add_generation_prompt=not is_begun, continue_final_message=is_begun
    ) == theirs.apply_chat_template(
        values, tokenize=False, add_generation_prompt=not is_begun, continue_final_message=is_begun
    )
    assert PromptReader(own).read(tuple(chat)) == PromptReader(theirs).read(tuple(chat))


@pytest.mark.parametrize("template", CHATS)
@pytest.mark.parametrize("is_begun", [False, True])
def test_a_template_is_written_out_as_by_the_library(
    tiny_tokenizer: PreTrainedTokenizerFast,
    template: str,
    is_begun: bool,  # noqa: FBT001 - a column of the table
) -> None:
    theirs = deepcopy(tiny_tokenizer)
    theirs.chat_template = template
    chat = [
        {"role": "system", "content": "<b>&'\"é"},
        {"role": "user", "content": " a\n"},
        {"role": "assistant" if is_begun else "user", "content": " so  "},
    ]
    expected = theirs.apply_chat_template(
        chat,
        tokenize=False,
        add_generation_prompt=not is_begun,
        continue_final_message=is_begun,
    )
    names = theirs.special_tokens_map
    assert ChatTemplate(template, names).write(chat, is_begun=is_begun) == expected
    assert chat[2]["content"] == " so  "


@pytest.mark.parametrize(
    "template",
    [
        "{{ raise_exception('no') }}",
        "{{ messages.append(1) }}",
        "{{ ''.__class__.__mro__ }}",
        "{% set ns = namespace(__x=1) %}",
        "{% set ns = namespace(a=1) %}{% set ns.__class__ = 1 %}",
        "{% for %}",
        "{{ messages[0].content + 1 }}",
        "{{ 1 / 0 }}",
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    ],
)
def test_a_template_that_refuses_or_reaches_out_is_the_prompts_error(
    tiny_tokenizer: PreTrainedTokenizerFast, tmp_path: Path, template: str
) -> None:
    tiny_tokenizer.save_pretrained(tmp_path)
    (tmp_path / "chat_template.jinja").write_text(template, encoding="utf-8")
    with pytest.raises(InvalidPromptError, match="chat template refuses"):
        PromptReader(FileTokenizer(tmp_path)).read("dog")


def test_a_template_that_writes_nothing_is_the_prompts_error(saved: Path) -> None:
    (saved / "chat_template.jinja").write_text("{# nothing #}", encoding="utf-8")
    with pytest.raises(InvalidPromptError, match="no token"):
        PromptReader(FileTokenizer(saved)).read("dog")


def test_an_answer_whose_beginning_the_template_leaves_out_is_refused() -> None:
    chat = [{"role": "assistant", "content": "so"}]
    with pytest.raises(ValueError, match="leaves out"):
        ChatTemplate("{{ messages[0].role }}", {}).write(chat, is_begun=True)


def rewrite(folder: Path, name: str, **changes: object) -> None:
    file = folder / name
    value = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    kept = {key: item for key, item in (value | changes).items() if item is not None}
    file.write_text(json.dumps(kept), encoding="utf-8")


@pytest.fixture
def saved(tiny_tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> Path:
    tiny_tokenizer.save_pretrained(tmp_path)
    return tmp_path


def test_templates_may_lie_in_the_settings_alone_or_by_name(saved: Path) -> None:
    (saved / "chat_template.jinja").unlink()
    rewrite(saved, "tokenizer_config.json", chat_template="one")
    assert FileTokenizer(saved).chat_template == "one"
    named = [{"name": "tool_use", "template": "t"}, {"name": "default", "template": "d"}]
    rewrite(saved, "tokenizer_config.json", chat_template=named)
    assert FileTokenizer(saved).chat_template == "d"
    rewrite(saved, "tokenizer_config.json", chat_template=named[:1])
    with pytest.raises(ModelFolderError, match="none is called `default`"):
        FileTokenizer(saved)
    rewrite(saved, "tokenizer_config.json", chat_template=None)
    assert FileTokenizer(saved).chat_template is None


def test_tokens_that_only_the_settings_know_are_added_as_by_the_library(saved: Path) -> None:
    mark = {"content": "<mark>", "special": False, "lstrip": True, "normalized": False}
    rewrite(
        saved,
        "tokenizer_config.json",
        added_tokens_decoder={"320": mark},
        bos_token={"content": "<bos>", "__type": "AddedToken"},
        extra_special_tokens=["<x>"],
    )
    own, theirs = FileTokenizer(saved), load(saved)
    assert own.highest == 322
    for text in ("a <mark> b", "<bos>a<x>", "<MARK>"):
        assert_equal(own, theirs, text)


def test_settings_of_before_tokens_were_named_in_them_are_read(saved: Path) -> None:
    rewrite(saved, "tokenizer_config.json", eos_token=None)
    rewrite(saved, "special_tokens_map.json", eos_token={"content": "<|end|>"})
    assert FileTokenizer(saved).eos_token_id == load(saved).eos_token_id == 2


def test_a_damaged_tokenizer_is_refused(saved: Path) -> None:
    (saved / "tokenizer.json").write_text('{"version": "1.0"', encoding="utf-8")
    with pytest.raises(ModelFolderError, match="cannot be read"):
        FileTokenizer(saved)


def test_damaged_settings_of_a_tokenizer_are_refused(saved: Path) -> None:
    rewrite(saved, "tokenizer_config.json", added_tokens_decoder={"x": {"content": "<x>"}})
    with pytest.raises(ModelFolderError, match="no token id"):
        FileTokenizer(saved)
    rewrite(saved, "tokenizer_config.json", added_tokens_decoder=None)
    (saved / "chat_template.jinja").write_bytes(b"\xff\xfe")
    with pytest.raises(ModelFolderError, match=r"chat_template.jinja"):
        FileTokenizer(saved)


def test_tokens_know_what_ends_a_text(tiny_model: Callable[..., Path]) -> None:
    tokens = Tokens(inspect(tiny_model()))
    assert tokens.eos == {2}
    assert tokens.decode(tokens.encode_prompt("the fox")).startswith("user\nthe fox")
    assert tokens.count("the fox") == len(tokens.encode_prompt("the fox")) - len(
        tokens.encode_prompt(" ")
    ) + tokens.count(" ")
    stream = tokens.stream()
    ids = tokens.encode_prompt("é")
    assert "".join([*(stream.push(token) for token in ids), stream.end()]) == tokens.decode(ids)


def test_a_folder_without_a_tokenizer_json_is_read_by_the_library(
    tiny_model: Callable[..., Path], tmp_path: Path
) -> None:
    import shutil

    folder = Path(shutil.copytree(tiny_model("llama", chat=False), tmp_path / "model"))
    state = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.json").write_text(json.dumps(state["vocab"]), encoding="utf-8")
    merges = "\n".join(" ".join(pair) for pair in state["merges"])
    (folder / "merges.txt").write_text(f"#version: 0.2\n{merges}\n", encoding="utf-8")
    rewrite(folder, "tokenizer_config.json", tokenizer_class="GPT2Tokenizer")
    ours = Tokens(inspect(folder))
    whole = Tokens(inspect(tiny_model("llama", chat=False)))
    assert ours.encode_prompt("the quick fox") == whole.encode_prompt("the quick fox")
