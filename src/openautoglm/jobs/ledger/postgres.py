"""A ledger's database in a PostgreSQL server (13 or later), for processes of many machines.

A server that is being started again is waited for. A transaction whose commit was under way when
the connection broke is never guessed about: the server is asked, by its number, whether it
happened, and only what did not is done again. The clock of leases is the server's: set forward, it
makes leases end early, which costs work and no row; set back, it lets them last.

It does not guard against a server that loses what it synced, or a standby that was promoted with
less.
"""

from __future__ import annotations

import re
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar, final

from openautoglm.data.location import redacted
from openautoglm.errors import LedgerError
from openautoglm.settings import need

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from openautoglm.jobs.ledger.database import Found, Session, Value

Result = TypeVar("Result")

OPEN_S: Final = 5.0
"""How long to wait for a server when a ledger is opened: an address may be wrong."""

PAUSE_S: Final = 0.1
CONNECT_S: Final = 5

_WORDS: Final = {
    "now": "cast(extract(epoch from clock_timestamp()) as double precision)",
    "lock": "for update",
    "skip": "for update skip locked",
    "alone": "select pg_advisory_xact_lock(7235419083)",
    "serial": "bigint generated always as identity primary key",
    "bytes": "bytea",
    "clustered": "",
    "tables": "select cast(tablename as text) from pg_tables where schemaname = current_schema()",
}
_PARAMETER: Final = re.compile(r"(?<![:\w]):([a-z_]+)")
_BEGIN: Final = "begin isolation level read committed; select cast(pg_current_xact_id() as text)"
_FATE: Final = "select pg_xact_status(cast(%s as xid8))"
_SETTINGS: Final = """select
set_config('idle_in_transaction_session_timeout', %s, false),
set_config('synchronous_commit', case current_setting('synchronous_commit')
when 'off' then 'on' else current_setting('synchronous_commit') end, false)"""
_LOST: Final = ("08", "57P01", "57P02", "57P03", "25P03", "25P04")
"""Beginnings of the codes of errors after which the connection is of no use."""

_AGAIN: Final = ("40001", "40P01", "55P03")
"""Codes of transactions that stood in each other's way."""

_FOR_GOOD: Final = re.compile(
    r"authentication failed|no password supplied|pg_hba\.conf|does not exist|not permitted"
)
"""What a server says when it refuses somebody, and would again."""

_WORDING: Final = (
    ("53100", "there is no room left for the ledger", "make room on the server's disk"),
    ("53", "the ledger's server has too little", "give it more memory or connections"),
    ("25006", "the ledger may not be written", "name the primary, not a standby"),
    ("42501", "the ledger may not be written", "grant this user the right to create tables"),
    ("28", "the ledger's server refuses this user", "see user and password in the URL"),
    ("3D", "the ledger's server has no such database", "create it: `createdb NAME`"),
    ("58", "the disk of the ledger's server failed", "see the server's log"),
    ("XX", "the ledger's server found damage", "see the server's log, restore a backup"),
    ("57014", "the ledger's server cancelled the query", "see its statement_timeout"),
)
_DOWN: Final = "see that the server runs and is reached: `pg_isready -h HOST -p PORT`"


@final
class PostgresDatabase:
    """Keep tables in the database that a URL names.

    Args:
        url: `postgresql://user:password@host:port/database`, with libpq's options.
        patience_s: how long a method waits for a server that is being started again.

    Raises:
        LedgerError: it cannot be reached, or refuses.
        MissingExtraError: psycopg is not installed.
    """

    def __init__(self, url: str, *, patience_s: float) -> None:
        self._psycopg = need("psycopg", extra="jobs", why="a ledger in PostgreSQL")
        self._shown = redacted(url)
        self._patience_s = patience_s
        self._options = self._read_options(url)
        self._secrets = _secrets(url, self._options)
        self._lock = threading.RLock()
        self._is_closed = False
        self._connection: Any = None
        self._patiently(lambda _: self._connected(), for_s=min(patience_s, OPEN_S))

    def read(self, work: Callable[[Session], Result]) -> Result:
        """Return what work found; see `Database`."""
        return self._patiently(
            lambda _: work(_PostgresSession(self._connected())), for_s=self._patience_s
        )

    def write(
        self,
        work: Callable[[Session], Result],
        *,
        is_durable: bool = True,
        is_vital: bool = False,
    ) -> Result:
        """Do work in one transaction; see `Database`."""
        del (
            is_durable,
            is_vital,
        )  # a server that crashes must lose nothing either; its disk is its own
        return self._patiently(
            lambda ends_at: self._transaction(work, ends_at), for_s=self._patience_s
        )

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self._is_closed = True
            self._drop()

    def _patiently(self, act: Callable[[float], Result], *, for_s: float) -> Result:
        """Do again, while there is time, what is known not to have been done."""
        with self._lock:
            ends_at = time.monotonic() + for_s
            while True:
                try:
                    return act(ends_at)
                except self._psycopg.Error as error:
                    self._recover(error)
                    if not self._passes(error) or time.monotonic() >= ends_at:
                        self._refuse(error)
                except BaseException:
                    self._roll_back()
                    raise
                time.sleep(PAUSE_S)

    def _transaction(self, work: Callable[[Session], Result], ends_at: float) -> Result:
        connection = self._connected()
        begun = connection.execute(_BEGIN)
        begun.nextset()
        number = str(begun.fetchone()[0])
        result = work(_PostgresSession(connection))
        try:
            connection.execute("commit", prepare=False)
        except self._psycopg.Error as error:
            if not self._is_lost(error):
                raise
            self._drop()
            if not self._was_committed(number, ends_at):
                return self._transaction(work, ends_at)
        return result

    def _was_committed(self, number: str, ends_at: float) -> bool:
        """Ask the server what became of a transaction.

        Raises:
            LedgerError: it does not come back in time. The transaction must not be done again then.
        """
        while True:
            try:
                fate = self._connected().execute(_FATE, [number]).fetchone()[0]
            except self._psycopg.Error as error:
                self._recover(error)
                if not self._passes(error):
                    self._refuse(error)
                fate = "in progress"
            if fate != "in progress":
                return bool(fate == "committed")
            if time.monotonic() >= ends_at:
                raise LedgerError(
                    "the ledger's server was lost in the middle of a commit",
                    got=f"{self._shown}: transaction {number} may have happened, or not",
                    fix="begin again when the server is back: nothing is kept twice",
                )
            time.sleep(PAUSE_S)

    def _connected(self) -> Any:  # noqa: ANN401 - a class of psycopg, which may not be installed
        if self._is_closed:
            raise LedgerError("the ledger is closed", got=self._shown, fix="open it again")
        if self._connection is None:
            connection = self._psycopg.connect(autocommit=True, **self._options)
            self._connection = connection
            limit_ms = str(int(max(self._patience_s, 1.0) * 1000))
            connection.execute(_SETTINGS, [limit_ms])
        return self._connection

    def _read_options(self, url: str) -> dict[str, Any]:
        """Read the URL, which wins over what we would set."""
        try:
            asked = self._psycopg.conninfo.conninfo_to_dict(url)
        except self._psycopg.Error:
            raise LedgerError(
                "this is no URL of a PostgreSQL database",
                got=self._shown,
                fix="write postgresql://user:password@host:port/database; %-quote @ / : in them",
            ) from None  # its words hold parts of the URL, which may be secret
        ours = {
            "application_name": "openautoglm",
            "connect_timeout": CONNECT_S,
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            "tcp_user_timeout": int(max(self._patience_s, 1.0) * 1000),
        }
        return {**ours, **asked}

    def _is_lost(self, error: Exception) -> bool:
        """Whether an error ended the connection, or there is none."""
        gone = self._connection is None or self._connection.closed
        return gone or _code(error).startswith(_LOST)

    def _passes(self, error: Exception) -> bool:
        """Whether doing it again may help."""
        if _code(error) in _AGAIN:
            return True
        return self._connection is None and not _FOR_GOOD.search(str(error))

    def _recover(self, error: Exception) -> None:
        """Make the connection fit for another transaction, or let go of it."""
        if self._is_lost(error):
            self._drop()
        else:
            self._roll_back()

    def _roll_back(self) -> None:
        """End the transaction, if there is one, without its changes."""
        if self._connection is None:
            return
        try:
            self._connection.rollback()
        except self._psycopg.Error:
            self._drop()

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(self._psycopg.Error):
                connection.close()

    def _refuse(self, error: Exception) -> NoReturn:
        """Raise an error of psycopg as ours, without what is secret in it."""
        code = _code(error)
        said = " ".join(str(error).split())
        told = said
        for secret in self._secrets:
            told = told.replace(secret, "***")
        default = ("", "the ledger's server cannot be reached", _DOWN)
        if code and not code.startswith(_LOST):
            default = ("", "the ledger's server refused", "see the server's log")
        found = (entry for entry in _WORDING if code.startswith(entry[0]))
        _, problem, fix = next(found, default)
        if not code and _FOR_GOOD.search(said):
            problem, fix = "the ledger's server refuses", "see user, password and database"
        shown = f"{self._shown}: {told[:300]}" + (f" ({code})" if code else "")
        raise LedgerError(problem, got=shown, fix=fix) from error if told == said else None


@final
class _PostgresSession:
    """See `Session`."""

    def __init__(self, connection: Any) -> None:  # noqa: ANN401 - a class of psycopg, as above
        self._connection = connection

    def rows(self, sql: str, values: Mapping[str, Value] | None = None) -> list[Found]:
        found: list[Found] = self._execute(sql, values).fetchall()
        return found

    def change(self, sql: str, values: Mapping[str, Value] | None = None) -> int:
        changed: int = self._execute(sql, values).rowcount
        return changed

    def insert(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Value]]) -> int:
        """Insert by columns, as arrays: twice as fast as one statement a row."""
        names, marks, arrays = [], [], []
        for name, column in zip(columns, zip(*rows, strict=True), strict=True):
            kind = next((type(value) for value in column if value is not None), None)
            if kind is not None:  # else it is null in all rows, which needs no saying
                names.append(name)
                marks.append(f"cast(%b as {_TYPES[kind]}[])")
                arrays.append(list(column))
        statement = (
            f"insert into {table}({', '.join(names)}) select * from unnest({', '.join(marks)})"  # noqa: S608 - names of ours
            " on conflict do nothing"
        )
        inserted: int = self._connection.execute(statement, arrays).rowcount
        return inserted

    def _execute(self, sql: str, values: Mapping[str, Value] | None) -> Any:  # noqa: ANN401 - as above
        return self._connection.execute(_text(sql), {**(values or {}), "boot": ""}, binary=True)


_TYPES: Final[dict[type, str]] = {
    int: "bigint",
    float: "double precision",
    str: "text",
    bytes: "bytea",
}
_TEXTS: Final[dict[str, str]] = {}


def _text(sql: str) -> str:
    if sql not in _TEXTS:
        words = sql.replace("%", "%%").format_map(_WORDS)
        _TEXTS[sql] = _PARAMETER.sub(r"%(\1)s", words)
    return _TEXTS[sql]


def _code(error: Exception) -> str:
    return str(getattr(error, "sqlstate", None) or "")


def _secrets(url: str, options: Mapping[str, object]) -> tuple[str, ...]:
    """Return what no message may hold: passwords, and how they are written in the URL."""
    plain = [str(options[name]) for name in ("password", "sslpassword") if options.get(name)]
    written = re.findall(r"://[^/?#@:]*:([^@]*)@|[?&](?:ssl)?password=([^&]*)", url)
    return tuple(filter(None, [*plain, *(part for pair in written for part in pair)]))
