"""Undo text that was decoded with the wrong encoding.

Owns the repairs. `ftfy` does UTF-8 read as a single-byte encoding; the two mix-ups of GBK, which it
does not cover, are here. Knows nothing of markup or whitespace.
"""

from __future__ import annotations

import re

LOST = "\ufffd"

# U+FFFD as UTF-8, read as GBK: what the text said is gone for good.
_LOST_TWICE = re.compile("(?:锟斤拷)++(?:锟斤?+)?+")
_HIGH_RUN = re.compile(r"[^\x00-\x7f]{3,}+")
_LATIN_RUN = re.compile(r"[\xa1-\xff]{4,}+")
_FIRST_BYTES = range(0xE2, 0xF0)  # of UTF-8 for Chinese characters and their punctuation
_LEVEL_1 = range(0xB0, 0xD8)  # rows of the 3,755 commonest characters in GB 2312
_PUNCTUATION = range(0xA1, 0xA4)


def repair(text: str) -> str:
    """Return `text` with mis-decoded passages as they were meant.

    Passages are judged line by line, so one broken line cannot change another. `锟斤拷`, which
    stands for bytes nobody can restore, becomes one U+FFFD.

    Example:
        >>> repair("æˆ‘ä»¬ and 鎴戜滑 and ÎÒÃÇ")
        '我们 and 我们 and 我们'
    """
    if text.isascii():
        return text
    text = _LOST_TWICE.sub(LOST, text)
    text = _HIGH_RUN.sub(_utf8_read_as_gbk, text)
    text = _LATIN_RUN.sub(_gbk_read_as_latin1, text)
    return _utf8_read_as_one_byte(text)


def _utf8_read_as_one_byte(text: str) -> str:
    from ftfy import fix_encoding
    from ftfy.badness import is_bad

    lines = text.split("\n")
    for number, line in enumerate(lines):
        if not line.isascii():
            body = line.lstrip(" \t")  # ftfy looks at how a text begins
            if is_bad(body):
                lines[number] = line[: len(line) - len(body)] + fix_encoding(body)
    return "\n".join(lines)


def _utf8_read_as_gbk(run: re.Match[str]) -> str:
    """Repair only what cannot be chance: rare characters that spell common ones as UTF-8."""
    found = run[0].rstrip(LOST)
    try:
        raw = found.encode("gb18030")
    except UnicodeEncodeError:  # a lone surrogate
        return run[0]
    if not raw or raw[0] not in _FIRST_BYTES or _is_gb2312(found):
        return run[0]
    meant = _decode_but_for_the_end(raw)
    if len(meant) < 2 or not _is_gb2312(meant.rstrip(LOST)):  # noqa: PLR2004 - one may be chance
        return run[0]
    return meant


def _decode_but_for_the_end(raw: bytes) -> str:
    """Decode UTF-8 whose last character may have lost a byte or two; "" when it is not UTF-8."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        cut_off = error.reason == "unexpected end of data" and error.end == len(raw)
        return raw[: error.start].decode("utf-8") + LOST if cut_off else ""


def _is_gb2312(text: str) -> bool:
    try:
        text.encode("gb2312")
    except UnicodeEncodeError:
        return False
    return True


def _gbk_read_as_latin1(run: re.Match[str]) -> str:
    raw = run[0].encode("latin-1")
    leads = raw[::2]
    common = all(lead in _LEVEL_1 or lead in _PUNCTUATION for lead in leads)
    if len(raw) % 2 or not common or not any(lead in _LEVEL_1 for lead in leads):
        return run[0]
    try:
        return raw.decode("gb2312")
    except UnicodeDecodeError:
        return run[0]
