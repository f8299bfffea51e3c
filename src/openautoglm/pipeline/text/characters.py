"""Characters that no reader sees: controls, zero widths, byte order marks, direction overrides.

Owns which of them carry meaning and stay. Knows nothing of whitespace or markup.
"""

from __future__ import annotations

import re

LOST = "\ufffd"

_ZWNJ, _ZWJ, _DIRECTION_MARKS = "\u200c", "\u200d", "\u200e\u200f\u061c"
_FLAG, _TAGS, _END_TAG = "\U0001f3f4", "\U000e0000-\U000e007f", "\U000e007f"
_JOINING = (  # scripts whose letters change shape with their neighbours: Arabic to Thaana, the
    # scripts of India and Tibet, Myanmar, Khmer, Mongolian
    "\u0600-\u07ff\u0840-\u086f\u08a0-\u0fff\u1000-\u109f\u1780-\u18af\ufb50-\ufdff\ufe70-\ufefc"
)
_RIGHT_TO_LEFT = "\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\U00010800-\U00010fff\U0001e800-\U0001efff"
_EMOJI = "\u00a9\u00ae\u203c-\u3299\ufe0f\U0001f000-\U0001faff"
_NEVER = (
    "\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u00ad\u180e\u200b\u202a-\u202e\u2060-\u206f"
    "\ufdd0-\ufdef\ufeff\ufff9-\ufffb\ufffe\uffff"
)
_BREAKS = "\x0b\x0c\x1c-\x1e\x85\u2028\u2029"
_SEPARATOR = "\x1f"  # stands between two fields: dropping it would glue words together

_ANY = re.compile(
    f"[\r{_NEVER}{_BREAKS}{_SEPARATOR}{_ZWNJ}{_ZWJ}{_DIRECTION_MARKS}{_TAGS}\ud800-\udfff]"
)
_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")
_LONE = re.compile("[\ud800-\udfff]")
_BREAK = re.compile(f"\r\n?+|[{_BREAKS}]")
_DROPPED = re.compile(f"[{_NEVER}]")
_TAG = re.compile(f"({_FLAG}[{_TAGS}]{{1,8}}?{_END_TAG})|[{_TAGS}]")
_USELESS_MARK = re.compile(
    f"(?<![{_JOINING}]){_ZWNJ}|{_ZWNJ}(?![{_JOINING}])"
    f"|(?<![{_JOINING}{_EMOJI}]){_ZWJ}|(?<=[{_EMOJI}]){_ZWJ}(?![{_EMOJI}])"
    f"|(?<![{_RIGHT_TO_LEFT}])[{_DIRECTION_MARKS}](?![{_RIGHT_TO_LEFT}])"
)


def drop_controls(text: str) -> str:
    r"""Return `text` without characters that only steer a terminal, a printer or the layout.

    Every kind of line break becomes a line feed; tabs stay. The joiner stays inside an emoji and
    joiner and non-joiner between letters of scripts that need them; direction marks stay beside
    letters written from right to left. A surrogate pair becomes its character, a lone surrogate
    U+FFFD.

    Example:
        >>> drop_controls("\ufeffpay\u200bpal\u202e\r\n👩‍👧 می‌خواهم")
        'paypal\n👩\u200d👧 می\u200cخواهم'
    """
    if not _ANY.search(text):
        return text
    text = _PAIR.sub(_whole, text)
    text = _LONE.sub(LOST, text)
    text = _BREAK.sub("\n", text).replace(_SEPARATOR, " ")
    text = _DROPPED.sub("", text)
    text = _TAG.sub(lambda found: found[1] or "", text)
    return _USELESS_MARK.sub("", text)


def _whole(pair: re.Match[str]) -> str:
    return pair[0].encode("utf-16-le", "surrogatepass").decode("utf-16-le")
