"""Build the tokenizer: byte-level BPE in which a copied value has one spelling wherever it stands.

Digits, capitals, Han characters, punctuation and the space are pieces of their own; only runs of lower-case
letters are merged. The JSON chunks of the answers are single tokens that never merge with values.
"""

import json
import random
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from banks import LABELS, LANGS, load
from generate import stream
from values import HAN

SPECIAL = ("<|pad|>", "<|unk|>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>")
CHUNKS = ('{"name":', ',"product":', ',"order_id":', ',"date":', ',"issue":', '{"label":', "null")
PUNCTUATION = "，。：；！？（）“”‘’「」《》、…—·～￥°€£＋－／"
CHAT_TEMPLATE = (
    "{%- for message in messages -%}"
    "{{- '<|' + message['role'] + '|>' + message['content'] -}}"
    "{%- if message['role'] == 'assistant' -%}{{- '<|end|>' -}}{%- endif -%}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|assistant|>' -}}{%- endif -%}"
)
# level-2 characters of GB2312 that are frequent in given names and product names
_RARE = (
    "婷雯昕瑾璇钰媛嫣筠玥祺骁彦璟琦瑜霖睿琪晗烨炜煜昊旭妍姝嫦娅婧琬瑶璐珞珂玮珺嵘峻岚"
    "崔邵佟阎尹奚荀郝晁闫茜薇蕾蓓芮芸苒荟菡萱蔓藜薰咖啡馨"
)
_PIECES = r"\p{Lu}|\p{N}|\p{Han}|[\p{Ll}\p{M}]+|[^\p{L}\p{M}\p{N}]"


def _pre_tokenizer() -> pre_tokenizers.PreTokenizer:
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_PIECES), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )


def _characters() -> list[str]:
    written = "".join(
        entry
        for lang in LANGS
        for bank in [load(lang)]
        for entry in (
            *(m.text for m in bank.messages),
            *(c.text for c in bank.issues),
            *(g.lead + g.rest for g in bank.general),
            *(x for table in (bank.names, bank.products) for xs in table.values() for x in xs),
        )
    )
    wide = sorted({char for char in written + _RARE if "\u4e00" <= char <= "\u9fff"} - set(HAN))
    return [*PUNCTUATION, *HAN, *wide]


def _train_bpe(size: int, seed: int, texts: int) -> dict[str, object]:
    """Train the merges of lower-case words and return the tokenizer as its JSON."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = _pre_tokenizer()
    chats = stream(seed)
    r = random.Random(seed)

    def corpus() -> list[str]:
        lines = [t.user + " " + t.answer for _ in range(texts) for t in next(chats).turns]
        r.shuffle(lines)
        return [*lines, *(label for label in LABELS for _ in range(texts))]

    tokenizer.train_from_iterator(
        corpus(),
        trainers.BpeTrainer(
            vocab_size=size,
            special_tokens=list(SPECIAL),
            min_frequency=4,
            show_progress=False,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        ),
    )
    parsed: dict[str, object] = json.loads(tokenizer.to_str())
    return parsed


def build(size: int = 1800, seed: int = 1, texts: int = 6000) -> PreTrainedTokenizerFast:
    """Train and assemble the tokenizer; ``size`` counts the pieces before Han characters are added."""
    state = _train_bpe(size, seed, texts)
    model = state["model"]
    assert isinstance(model, dict)
    to_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    vocab: dict[str, int] = model["vocab"]
    for char in dict.fromkeys(_characters()):
        piece = to_bytes.pre_tokenize_str(char)[0][0]
        vocab.setdefault(piece, len(vocab))
    model["ignore_merges"] = True
    tokenizer = Tokenizer.from_str(json.dumps(state))
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_tokens([AddedToken(c, normalized=False, special=False) for c in CHUNKS])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<|pad|>",  # noqa: S106 - a piece, no password
        unk_token="<|unk|>",  # noqa: S106 - a piece, no password
        eos_token="<|end|>",  # noqa: S106 - a piece, no password
        additional_special_tokens=["<|system|>", "<|user|>", "<|assistant|>"],
        chat_template=CHAT_TEMPLATE,
        model_max_length=2048,
        clean_up_tokenization_spaces=False,
    )


def main() -> None:
    """Build the tokenizer into a folder."""
    import argparse

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    args = parser.parse_args()
    tokenizer = build()
    tokenizer.save_pretrained(args.folder)
    print(len(tokenizer), "tokens")


if __name__ == "__main__":
    main()
