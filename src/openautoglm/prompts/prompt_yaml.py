"""The text of a prompt file: versions and aliases to YAML that reads well in a diff.

Writing only; prompt_file.py reads. A text becomes a literal block where YAML keeps every character
of it, and a double-quoted string where it does not (CR, NEL, trailing control characters).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from openautoglm.prompts.messages import ChatMessage
    from openautoglm.prompts.version import PromptFile, PromptVersion

HEADER = (
    "# Versions are immutable: `PromptStore.save` adds one and rewrites this file, without any\n"
    "# comments added by hand. Read one with PromptStore.get; undo one with git.\n"
)
SCHEMA = 1
_PLAIN = re.compile(r"[^\W\d][\w-]*\Z")
_RESERVED = frozenset({"null", "true", "false", "yes", "no", "on", "off", "y", "n"})
# What a literal block keeps as it is: printable, and no line end but LF.
_LITERAL = re.compile(r"[\t\n\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd]*\Z")
_ASTRAL = re.compile(r"[\U00010000-\U0010ffff]")
_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def written(file: PromptFile) -> str:
    """Return the file's text."""
    lines = [f"{HEADER}schema: {SCHEMA}"]
    if file.aliases:
        lines.append("aliases:")
        lines += [f"  {scalar(name)}: {number}" for name, number in sorted(file.aliases.items())]
    lines.append("versions:")
    for version in file.versions:
        lines += _version(version)
    return "\n".join(lines) + "\n"


def _version(version: PromptVersion) -> Iterable[str]:
    created = version.created.strftime("%Y-%m-%dT%H:%M:%SZ")
    names = ", ".join(scalar(name) for name in version.template.input_variables)
    yield f"- number: {version.number}"
    yield f'  created: "{created}"'
    yield f"  message: {scalar(version.message, indent=4)}"
    yield f"  sha256: {quoted(version.sha256)}"
    yield f"  input_variables: [{names}]"
    template = version.template.template
    if isinstance(template, str):
        yield f"  template: {scalar(template, indent=4)}"
    else:
        yield "  template:"
        for message in template:
            yield from _message(message)


def _message(message: ChatMessage) -> Iterable[str]:
    yield f"  - role: {message['role']}"
    yield f"    content: {scalar(message['content'], indent=6)}"


def scalar(text: str, *, indent: int = 0) -> str:
    """Return a string as YAML.

    Args:
        text: any Unicode text.
        indent: columns a literal block is indented by; 0 allows none.
    """
    if indent and "\n" in text and _LITERAL.match(_ASTRAL.sub("x", text)):
        return _literal(text, indent)
    if _PLAIN.match(text) and text.isascii() and text.lower() not in _RESERVED:
        return text
    return quoted(text)


def quoted(text: str) -> str:
    """Return a double-quoted string on one line."""
    return f'"{"".join(map(_character, text))}"'


def _literal(text: str, indent: int) -> str:
    body = text.rstrip("\n")
    ends = len(text) - len(body)
    if not body:
        return quoted(text)
    # Without the digit, YAML takes the first line's own spaces for the indent.
    digit = "2" if body[0] in " \t\n" else ""
    chomping = {0: "-", 1: ""}.get(ends, "+")
    pad = " " * indent
    lines = [f"{pad}{line}" if line else "" for line in body.split("\n")]
    return "\n".join([f"|{digit}{chomping}", *lines, *[""] * (ends - 1)])


def _character(char: str) -> str:
    if char in _ESCAPES:
        return _ESCAPES[char]
    if char.isprintable() and char != "\ufeff":
        return char
    code = ord(char)
    if code <= 0xFF:  # noqa: PLR2004 - YAML's \x takes two digits
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"  # noqa: PLR2004 - four digits
