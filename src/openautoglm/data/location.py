"""Where data lies: a URL or a path, taken apart.

Owns `Location` and `redacted`, which shows a URL without what is secret in it. Knows no kind of
data and opens nothing.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping  # noqa: TC003 - msgspec reads the annotations
from typing import Final, TypeAlias, final
from urllib.parse import parse_qsl, unquote

import msgspec

from openautoglm.errors import DataUrlError
from openautoglm.registry import suggest

Option: TypeAlias = str | int | float | bool
SCHEME: Final = re.compile(r"(?P<scheme>[a-z][a-z0-9.-]*(\+[a-z][a-z0-9.-]*)?)://", re.IGNORECASE)
WEB: Final = ("http", "https")
SECRET: Final = re.compile(
    r"(?<=[?&])([^=&]*(?:passw|pwd|secret|token|signature|credential|api_?key)[^=&]*)=[^&]*",
    re.IGNORECASE,
)
PORT: Final = re.compile(r"\d+(?=[/?#]|$)", re.ASCII)


@final
class Location(msgspec.Struct, frozen=True, kw_only=True):
    """A URL taken apart: `jsonl+file:///data/reviews.jsonl?sample=10`.

    Attributes:
        url: as it was written, passwords included; `shown` is for everybody's eyes.
        scheme: `file` for a path without one; before a `+` stands the format of the rows, behind it
            how its bytes are reached.
        path: everything behind `://` up to the `?`, percent signs resolved. Of a web address, which
            belongs to its server as it stands, everything up to the `#`.
        options: what stands behind the `?` (of a web address behind the `#`), and what was passed
            by keyword.
    """

    url: str
    scheme: str
    path: str
    options: Mapping[str, Option] = {}

    def __repr__(self) -> str:
        return f"Location({self.shown!r}, options: {', '.join(self.options) or 'none'})"

    @property
    def shown(self) -> str:
        """The URL as messages, fingerprints and logs may show it; see `redacted`."""
        return redacted(self.url)

    @property
    def format(self) -> str:
        """What the rows are written in: `jsonl` of `jsonl+file`; empty where it is not said."""
        return self.scheme.partition("+")[0] if "+" in self.scheme else ""

    @property
    def transport(self) -> str:
        """How the bytes are reached: `file` of `jsonl+file`; the scheme itself without a `+`."""
        return self.scheme.rpartition("+")[2]

    def check_options(self, *known: str) -> None:
        """Refuse options that nobody reads.

        Raises:
            DataUrlError: names the option and the nearest one there is.
        """
        for name in self.options:
            if name not in known:
                raise DataUrlError(
                    f"`{self.scheme}` has no option `{name}`",
                    got=f"{self.shown}; options: {', '.join(known) or 'none'}",
                    fix=suggest(name, known) or "leave it out",
                )


def read_location(url: str | os.PathLike[str], options: Mapping[str, Option]) -> Location:
    """Take a URL or a path apart.

    Raises:
        DataUrlError: it is empty, no text, or no URL.

    Example:
        >>> read_location("memory://answers?of=today", {}).options
        {'of': 'today'}
        >>> read_location("answers.jsonl", {}).scheme
        'file'
    """
    given: object = url
    text = os.fspath(given) if isinstance(given, (str, os.PathLike)) else given
    if not isinstance(text, str) or not text.strip() or "\0" in text:
        raise DataUrlError(
            "data is named by a path or a URL",
            got=repr(redacted(text) if isinstance(text, str) else given)[:200],
            fix='for example "reviews.jsonl" or "jsonl+file:///data/reviews.jsonl"',
        )
    found = SCHEME.match(text)
    if found is None:
        return Location(url=text, scheme="file", path=text, options=dict(options))
    is_web = found["scheme"].lower().rpartition("+")[2] in WEB
    path, _, query = text[found.end() :].partition("#" if is_web else "?")
    try:
        asked = dict(parse_qsl(query, keep_blank_values=True, strict_parsing=True)) if query else {}
    except ValueError:
        raise DataUrlError(
            "this is no URL: what stands behind the `?` are no options",
            got=redacted(text)[:200],
            fix="write options as ?name=value&name=value, and a `?` that means itself as %3F",
        ) from None  # its words are the options, which may be secret
    return Location(
        url=text,
        scheme=found["scheme"].lower(),
        path=path if is_web else unquote(path),
        options={**asked, **options},
    )


def redacted(url: str) -> str:
    """Return a URL with `***` for its password and for options that sound secret.

    What it does not know: secrets in a path, or in an option with a harmless name.

    Example:
        >>> redacted("postgresql://ann:p@ss@db:5432/shop?table=orders")
        'postgresql://ann:***@db:5432/shop?table=orders'
        >>> redacted("https://host/rows.jsonl?X-Amz-Signature=f00&part=1")
        'https://host/rows.jsonl?X-Amz-Signature=***&part=1'
    """
    found = SCHEME.match(url)
    if found is None:
        return url
    rest = url[found.end() :]
    query = rest.find("?")
    at = rest.rfind("@", 0, query) if "@" in rest[: max(query, 0)] else rest.rfind("@")
    colon, slash = rest.find(":"), rest.find("/")
    has_user = 0 <= colon < at and not 0 <= slash < colon
    if has_user and not PORT.match(rest, colon + 1):
        rest = f"{rest[: colon + 1]}***{rest[at:]}"
    return found[0] + SECRET.sub(r"\1=***", rest)
