"""Constrain answers: a JSON record whose values are substrings of the text, or a label record.

Owns the grammars (Lark syntax of llguidance); knows nothing of the model.
"""

import json
import re

from banks import LABELS
from template import FIELDS

_UNSAFE = re.compile(r'["\\\x00-\x1f]+')


def substring_rules(text: str) -> str:
    """Return Lark rules under which ``value`` is any substring of ``text`` that needs no JSON escape."""
    chunks = [chunk for chunk in _UNSAFE.split(text) if chunk] or ["?"]
    rules = [
        f"part_{i}: %regex {json.dumps({'substring_chars': chunk}, ensure_ascii=False)}"
        for i, chunk in enumerate(chunks)
    ]
    value = "value: " + " | ".join(f"part_{i}" for i in range(len(chunks)))
    return "\n".join([value, *rules])


def extract_grammar(text: str) -> str:
    """Return the grammar of the extract record over ``text``."""
    parts = [f"{json.dumps(('{' if i == 0 else ',') + json.dumps(field) + ':')} item" for i, field in enumerate(FIELDS)]
    start = "start: " + " ".join(parts) + ' "}"'
    return "\n".join([start, 'item: "null" | "\\"" value "\\""', substring_rules(text)])


def label_grammar() -> str:
    """Return the grammar of the label record."""
    labels = " | ".join(json.dumps(label) for label in LABELS)
    return f'start: "{{\\"label\\":\\"" label "\\"}}"\nlabel: {labels}'


def bare_label_grammar() -> str:
    """Return the grammar of a label alone."""
    return "start: " + " | ".join(json.dumps(label) for label in LABELS)
