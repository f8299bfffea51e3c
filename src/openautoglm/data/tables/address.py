"""What of a database a URL asks for: `Address`. Knows no database and connects to none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, final

from openautoglm.errors import DataUrlError

if TYPE_CHECKING:
    from openautoglm.data.location import Location

Mode = Literal["replace", "append"]
READING: Final = ("table", "schema", "query", "key")
WRITING: Final = ("table", "schema", "key", "mode")
MOST_NAME_BYTES: Final = 1_000


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """A table or a query of a database.

    Attributes:
        shown: the URL, without passwords.
        table: its name; empty where `query` is set.
        schema: of the table; None is where the database looks by itself.
        query: text of a SELECT; empty where `table` is set.
        key: columns that name a row; empty where the table's own key does.
        mode: what a whole output does with rows that are there; None is not said.
    """

    shown: str
    table: str = ""
    schema: str | None = None
    query: str = ""
    key: tuple[str, ...] = ()
    mode: Mode | None = None

    @property
    def name(self) -> str:
        """What its rows are called: the table, or `query`."""
        return self.table or "query"


def address_to_read(location: Location) -> Address:
    """Return what a URL asks for.

    Raises:
        DataUrlError: neither a table nor a query, or both; a name that can be none.
    """
    table, query = _text(location, "table"), _text(location, "query").strip().rstrip("; \n\t")
    if bool(table) == bool(query):
        raise DataUrlError(
            "a database is read by a table or by a query",
            got=location.shown,
            fix="add ?table=NAME or ?query=SELECT …",
        )
    return Address(
        shown=location.shown,
        table=table,
        schema=_text(location, "schema") or None,
        query=query,
        key=_key(location),
    )


def address_to_write(location: Location) -> Address:
    """Return where a URL wants rows.

    Raises:
        DataUrlError: no table, or a mode that there is not.
    """
    table, mode = _text(location, "table"), _text(location, "mode")
    if not table:
        raise DataUrlError(
            "rows are written to a table", got=location.shown, fix="add ?table=NAME to the URL"
        )
    if mode not in {"", "replace", "append"}:
        raise DataUrlError(
            f"there is no mode `{mode}`",
            got=location.shown,
            fix="mode=replace puts the rows in the place of others, mode=append adds them",
        )
    return Address(
        shown=location.shown,
        table=table,
        schema=_text(location, "schema") or None,
        key=_key(location),
        mode="append" if mode == "append" else "replace" if mode == "replace" else None,
    )


def _text(location: Location, option: str) -> str:
    text = str(location.options.get(option, ""))
    if "\0" in text or (option != "query" and len(text.encode(errors="replace")) > MOST_NAME_BYTES):
        raise DataUrlError(
            f"the option `{option}` is no name that a database knows",
            got=repr(text)[:100],
            fix="name what is there",
        )
    return text


def _key(location: Location) -> tuple[str, ...]:
    return tuple(filter(None, (name.strip() for name in _text(location, "key").split(","))))
