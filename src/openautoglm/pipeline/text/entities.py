"""Decode HTML's character references. Knows nothing of tags."""

from __future__ import annotations

import re
from html import unescape
from html.entities import html5

# `&amp;amp;lt;` is one reference that was escaped several times.
_ESCAPED_AGAIN = re.compile(r"&(?:(?:amp|AMP|#0{0,8}38|#[xX]0{0,8}26);)++")
_REFERENCE = re.compile(r"&(?:#(?:[0-9]{1,9}|[xX][0-9a-fA-F]{1,8})|[A-Za-z][A-Za-z0-9]{1,31});")


def decode_entities(text: str) -> str:
    """Return `text` with `&name;`, `&#n;` and `&#xh;` decoded, however often they were escaped.

    The semicolon is required, as `?a=1&copy=2` is an address and not a copyright sign.

    Example:
        >>> decode_entities("&lt;3 caf&eacute; &amp;amp; AT&T &nosuch; ?a=1&copy=2")
        '<3 café & AT&T &nosuch; ?a=1&copy=2'
    """
    if "&" not in text:
        return text
    return _REFERENCE.sub(_decode, _ESCAPED_AGAIN.sub("&", text))


def break_references(text: str) -> str:
    """Return `text` with a space in every reference, so that none is left."""
    return _REFERENCE.sub(lambda found: f"& {found[0][1:]}", text)


def _decode(found: re.Match[str]) -> str:
    if found[0][1] == "#":
        return unescape(found[0])
    return html5.get(found[0][1:], found[0])
