"""Requests of a batch file as rows: `RequestsFormat`.

A row has `custom_id`, `method`, `url` and `body` as the line has them, and `prompt`: what the
request says in texts, for templates; null where it says something else. A line that is no request
is a bad row. OpenAI's limits are those of an upload: they are kept where that is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO, Final, final

from openautoglm.data.formats.format import Item
from openautoglm.data.formats.jsonl import JsonlFile, JsonlFormat
from openautoglm.data.source import Column
from openautoglm.errors import BadRowError, DataUrlError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openautoglm.data.formats.format import RowWriter, Spot
    from openautoglm.data.source import Row
    from openautoglm.data.transports.files import Stored

MOST_REQUESTS: Final = 50_000
MOST_BYTES: Final = 200_000_000
"""What OpenAI takes in one file."""
COLUMNS: Final = (
    Column(name="custom_id", kind="text", nullable=False),
    Column(name="method", kind="text", nullable=False),
    Column(name="url", kind="text", nullable=False),
    Column(name="body", kind="object", nullable=False),
    Column(name="prompt", kind="text"),
)


@final
class RequestsFormat:
    """Files of JSON Lines that are requests.

    Args:
        most: requests of a file, where more are refused when it is divided into shards.
    """

    endings = (".jsonl",)

    def __init__(self, most: int | None = None) -> None:
        self._most = most

    def opened(self, file: BinaryIO, stored: Stored) -> RequestsFile:
        """Read a file."""
        return RequestsFile(JsonlFile(file, stored.name), stored.name, self._most)

    def writer(self, file: BinaryIO, folder: str | None) -> RowWriter:
        """Write requests: rows as they are."""
        return JsonlFormat().writer(file, folder)

    def count(self, file: BinaryIO) -> int:
        """Count lines."""
        return JsonlFormat().count(file)


@final
class RequestsFile:
    """One file."""

    columns: tuple[Column, ...] | None = COLUMNS
    rows: int | None = None

    def __init__(self, lines: JsonlFile, name: str, most: int | None) -> None:
        self._lines = lines
        self._name = name
        self._most = most

    def items(self, start: Spot) -> Iterator[Item]:
        """Yield requests."""
        for item in self._lines.items(start):
            if item.values is None:
                yield item
                continue
            try:
                row = request_of(item.values, f"{self._name}:{item.number}")
                yield Item(item.end, item.number, row)
            except BadRowError as error:
                yield Item(item.end, item.number, None, error)

    def ends(self, rows: int) -> Iterator[tuple[Spot, int]]:
        """Yield the end of every request."""
        for number, end in enumerate(self._lines.ends(rows)):
            if number == self._most:
                raise too_large(self._name, f"more than {self._most:,} requests")
            yield end

    def has(self, spot: Spot) -> bool:
        """Whether a line ends there."""
        return self._lines.has(spot)


def check_size(stored: Stored) -> None:
    """Refuse a file that is larger than OpenAI takes.

    Raises:
        DataUrlError: says how to divide it.
    """
    if (stored.size or 0) > MOST_BYTES:
        raise too_large(stored.name, f"{stored.size:,} bytes, more than {MOST_BYTES:,}")


def too_large(name: str, has: str) -> DataUrlError:
    """Return the error for a file that OpenAI would not take."""
    return DataUrlError(
        f"`{name}` is larger than OpenAI takes",
        got=has,
        fix="divide it: split --line-bytes=100M or --lines=50000, and name the folder of the "
        "pieces; or leave out limits=openai: here there are none",
    )


def request_of(line: Row, key: str) -> Row:
    """Return a line of a batch file as a row.

    Raises:
        BadRowError: it is no request; says what of it is wrong.
    """
    custom_id, method, url, body = (line.get(c.name) for c in COLUMNS[:4])
    for name, is_right, means in (
        ("custom_id", isinstance(custom_id, str) and custom_id != "", "a text that names it"),
        ("method", method == "POST", "POST"),
        ("url", isinstance(url, str) and url.startswith("/v1/"), "a path such as /v1/responses"),
        ("body", isinstance(body, dict), "an object: what the path takes"),
    ):
        if not is_right:
            raise BadRowError(
                f"{key}: this is no request: `{name}` is {'wrong' if name in line else 'missing'}",
                got=repr(line.get(name))[:100],
                fix=f"`{name}` is {means}",
            )
    return {
        "custom_id": custom_id,
        "method": method,
        "url": url,
        "body": body,
        "prompt": _prompt_of(body),
    }


def _prompt_of(body: object) -> str | None:
    """Return the texts of a request, one after another; None where it holds others."""
    if not isinstance(body, dict):
        return None
    said = next((body[n] for n in ("messages", "input", "prompt") if n in body), None)
    messages = said if isinstance(said, list) else [said]
    texts = [_text_of(message) for message in messages]
    found = [text for text in texts if text is not None]
    return "\n\n".join(found) if found and len(found) == len(texts) else None


def _text_of(message: object) -> str | None:
    content = message.get("content") if isinstance(message, dict) else message
    if isinstance(content, str):
        return content
    if not isinstance(content, list) or not content:
        return None
    parts = [part.get("text") if isinstance(part, dict) else None for part in content]
    texts = [part for part in parts if isinstance(part, str)]
    return "\n".join(texts) if len(texts) == len(parts) else None
