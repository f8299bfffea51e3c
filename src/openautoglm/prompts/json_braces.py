"""JSON that an author pasted into a template: where it ends, and how it must be written.

Knows nothing of variables but that a name in braces is one.
"""

from __future__ import annotations

import re

# A brace followed by a quoted key: JSON, or a Python dict.
_OPENS = re.compile(r"""\{\s*("[^"\r\n]*"|'[^'\r\n]*')\s*:""")
_FIELD = re.compile(r"\{[^\W\d]\w*\}")
_SHOWN_LINES = 6
_LONGEST = 20_000  # code points of JSON looked through for its end


def is_json(text: str, start: int) -> bool:
    """Return whether the brace at `start` opens an object with a quoted key."""
    return _OPENS.match(text, start) is not None


def end_of_json(text: str, start: int) -> int:
    """Return the index after the brace that closes the one at `start`, or the end of its line."""
    depth = 0
    index = start
    while index < min(len(text), start + _LONGEST):
        field = _FIELD.match(text, index)
        if field is not None:
            index = field.end()
            continue
        depth += {"{": 1, "}": -1}.get(text[index], 0)
        index += 1
        if depth == 0:
            return index
    line_end = re.compile(r"[\r\n]|$").search(text, start)
    return line_end.start() if line_end else len(text)


def escaped_json(text: str) -> str:
    """Return the JSON with its braces doubled and the variables inside it left alone.

    Example:
        >>> print(escaped_json('{"name": "{name}", "more": {"a": 1}}'))
        {{"name": "{name}", "more": {{"a": 1}}}}
    """
    parts = []
    index = 0
    for field in _FIELD.finditer(text):
        parts += [_doubled(text[index : field.start()]), field.group()]
        index = field.end()
    return "".join([*parts, _doubled(text[index:])])


def escaped_lines(text: str, start: int, end: int) -> str:
    """Return the lines of a template that hold the JSON at `start`, written as they must be."""
    begin = max(text.rfind("\n", 0, start), text.rfind("\r", 0, start)) + 1
    line_end = re.compile(r"[\r\n]|$").search(text, end)
    stop = line_end.start() if line_end else len(text)
    lines = (text[begin:start] + escaped_json(text[start:end]) + text[end:stop]).splitlines()
    shown = lines[:_SHOWN_LINES] + (["…"] if len(lines) > _SHOWN_LINES else [])
    return "\n".join(shown)


def _doubled(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")
