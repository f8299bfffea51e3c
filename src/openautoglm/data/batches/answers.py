"""Rows as the lines that answer a batch: `AnswersFormat`.

A line has `id`, `custom_id`, `response` (status_code, request_id, body) and `error`, as OpenAI's
output files have. A row with `response` (an object with `status_code`) or with `error` says itself
what stands there; any other becomes the body of a chat completion: its only other column is what
the assistant said, several are said as one JSON object. Names are made of the `custom_id`, so that
writing again gives the same.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, BinaryIO, Final, final

from openautoglm.data.columns import checked_row
from openautoglm.data.formats.jsonl import JsonlFile, JsonlFormat, json_of
from openautoglm.errors import BadRowError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from openautoglm.data.formats.format import RowWriter
    from openautoglm.data.source import Row
    from openautoglm.data.transports.files import Stored

IDS: Final = ("custom_id", "key")
"""Columns that are looked for where the URL names none."""
MODEL: Final = "openautoglm"


@final
class AnswersFormat:
    """Files of JSON Lines that are answers.

    Args:
        id_column: holds the `custom_id`; empty for the usual ones.
    """

    endings = (".jsonl",)

    def __init__(self, id_column: str = "") -> None:
        self._ids = (id_column,) if id_column else IDS

    def opened(self, file: BinaryIO, stored: Stored) -> JsonlFile:
        """Read a file, line by line."""
        return JsonlFile(file, stored.name)

    def writer(self, file: BinaryIO, folder: str | None) -> AnswersWriter:
        """Write a file."""
        return AnswersWriter(JsonlFormat().writer(file, folder), self._ids)

    def count(self, file: BinaryIO) -> int:
        """Count lines."""
        return JsonlFormat().count(file)


@final
class AnswersWriter:
    """Writes one answer a row."""

    def __init__(self, lines: RowWriter, ids: tuple[str, ...]) -> None:
        self._lines = lines
        self._ids = ids
        self._rows = 0

    @property
    def size_bytes(self) -> int:
        """Of the lines."""
        return self._lines.size_bytes

    def add(self, rows: Sequence[Row]) -> None:
        """Write rows."""
        checked = [checked_row(row, n) for n, row in enumerate(rows, self._rows + 1)]
        self._lines.add(
            [answer_of(row, self._ids, n) for n, row in enumerate(checked, self._rows + 1)]
        )
        self._rows += len(rows)

    def finish(self) -> None:
        """Have everything in the file."""
        self._lines.finish()

    def close(self) -> None:
        """Give back what was needed."""
        self._lines.close()


def answer_of(row: Row, ids: tuple[str, ...], number: int) -> Row:
    """Return a row as a line of OpenAI's output files.

    Raises:
        BadRowError: it does not say which request it answers.

    Example:
        >>> line = answer_of({"key": "a", "output": "Hello!"}, IDS, 1)
        >>> line["custom_id"], line["response"]["body"]["choices"][0]["message"]["content"]
        ('a', 'Hello!')
    """
    name = next((name for name in ids if name in row), "")
    found = row.get(name)
    if isinstance(found, bool) or not isinstance(found, (str, int)) or found == "":
        raise BadRowError(
            f"row {number} does not say which request it answers",
            got=repr(found)[:100],
            fix=f"fill the column `{name or ids[0]}`, or name another one: ?id=COLUMN",
        )
    custom_id = str(found)
    rest = {column: value for column, value in row.items() if column != name}
    error = rest.get("error")
    return {
        "id": f"batch_req_{_mark(custom_id)}",
        "custom_id": custom_id,
        "response": None if error is not None else _response(custom_id, rest),
        "error": None if error is None else _error(error),
    }


def _response(custom_id: str, rest: Mapping[str, object]) -> Mapping[str, object]:
    given = rest.get("response")
    if isinstance(given, dict) and "status_code" in given:
        return given
    return {
        "status_code": 200,
        "request_id": f"req_{_mark(custom_id)}",
        "body": _completion(custom_id, rest),
    }


def _completion(custom_id: str, rest: Mapping[str, object]) -> Mapping[str, object]:
    said = next(iter(rest.values())) if len(rest) == 1 else rest
    message = {"role": "assistant", "content": said if isinstance(said, str) else _json(said)}
    return {
        "id": f"chatcmpl-{_mark(custom_id)}",
        "object": "chat.completion",
        "created": 0,  # nothing that differs when the row is written again
        "model": MODEL,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
    }


def _error(error: object) -> Mapping[str, object]:
    if not isinstance(error, dict):
        return {"code": "failed", "message": str(error)}
    message = error.get("message") or error.get("problem") or _json(error)
    return {"code": error.get("code"), "message": message}


def _json(value: object) -> str:
    try:
        return json_of(value)
    except (TypeError, ValueError, RecursionError) as cause:
        raise BadRowError(
            f"a row cannot be written as JSON: {cause}",
            got=repr(value)[:200],
            fix="rows hold texts, finite numbers, booleans, null, lists and objects",
        ) from cause


def _mark(custom_id: str) -> str:
    return hashlib.sha256(custom_id.encode(errors="surrogatepass")).hexdigest()[:24]
