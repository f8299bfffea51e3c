"""What every source of rows must do, as rows that name what is wrong.

Owns `source_suite`. What it does not ask: whether the rows are those that are really there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import islice, zip_longest
from typing import TYPE_CHECKING, Final, cast

import msgspec

from openautoglm.data.location import read_location
from openautoglm.data.source import Description, Record, Shard
from openautoglm.errors import DataUrlError, InputNotFoundError, SourceChangedError
from openautoglm.testing.suite import NotAskedError, Row, contribution_of, expect, findings_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from openautoglm.data.location import Option
    from openautoglm.data.source import Source, SourceOpener
    from openautoglm.plugins.report import Finding

MOST_ROWS: Final = 2_000
"""Rows that are looked at; of a larger source, the first ones."""
PLACES: Final = 12
SHARD_ROWS: Final = (1, 3, 1000)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Subject:
    opener: SourceOpener
    urls: Mapping[str, object]
    options: Mapping[str, Option] = field(default_factory=dict)

    def open(self, option: str = "url") -> Source:
        url = self.urls.get(option)
        if not isinstance(url, str):
            raise NotAskedError(f"give the option `{option}`")
        return self.opener(read_location(url, self.options))

    def rows(self) -> list[Record]:
        return list(islice(self.open().read(), MOST_ROWS))

    def is_whole(self) -> bool:
        return len(list(islice(self.open().read(), MOST_ROWS + 1))) <= MOST_ROWS


def source_suite(factory: Callable[[], object], options: Mapping[str, object]) -> Iterator[Finding]:
    """Check a source's opener, made anew for each row.

    Args:
        factory: returns what opens a source.
        options: `url` of something with some rows, `bad_url` of something with a row that cannot be
            read and a row behind it, `missing_url` of nothing; `options` passed by keyword.
    """

    def make() -> _Subject:
        return _Subject(
            opener=cast("SourceOpener", factory()),
            urls=options,
            options=cast("Mapping[str, Option]", options.get("options", {})),
        )

    return findings_of(ROWS, make, contribution_of("source", options))


def _describes_itself(subject: _Subject) -> str:
    first, second = (subject.open().describe() for _ in range(2))
    expect(isinstance(first, Description), f"`describe` returned {type(first).__name__}")
    names = [column.name for column in first.columns]
    expect(len(set(names)) == len(names), f"columns come twice: {names}")
    expect(first.fingerprint, "it has no fingerprint, so a job cannot tell that it changed")
    expect(first.fingerprint == second.fingerprint, "its fingerprint differs without a change")
    plain = msgspec.convert(msgspec.to_builtins(first), Description)
    expect(plain == first, "its description is not made of plain values")
    return f"{len(names)} columns, {len(first.fingerprint)} parts"


def _reads_records(subject: _Subject) -> str:
    records = subject.rows()
    expect(records, "there is no row at the option `url`")
    for record in records:
        expect(isinstance(record, Record), f"`read` yields {type(record).__name__}")
        expect(isinstance(record.position, str), f"a position is {record.position!r}")
        expect(isinstance(record.values, Mapping), f"values are {type(record.values).__name__}")
        expect(all(isinstance(n, str) for n in record.values), "a column's name is no text")
        expect(record.error is None or not record.values, f"{record.key} has values and an error")
        msgspec.msgpack.encode(dict(record.values))
    keys = [record.key for record in records]
    expect(len(set(keys)) == len(keys), "two rows have the same key")
    return f"{len(records)} rows"


def _keeps_to_its_description(subject: _Subject) -> str:
    described = subject.open().describe()
    must = [column.name for column in described.columns if not column.nullable]
    for record in (r for r in subject.rows() if r.error is None and not described.is_sampled):
        absent = [name for name in must if record.values.get(name) is None]
        expect(not absent, f"{record.key} has no `{absent[0] if absent else ''}`")
    if described.rows is not None and subject.is_whole():
        found = len(subject.rows())
        expect(found == described.rows, f"{described.rows} rows described, {found} read")
    return f"{len(described.columns)} columns"


def _reads_again(subject: _Subject) -> str:
    source = subject.open()
    first, second = ([_shown(r) for r in islice(source.read(), MOST_ROWS)] for _ in range(2))
    expect(first == second, _difference(first, second))
    return f"{len(first)} rows, twice"


def _goes_on(subject: _Subject) -> str:
    records = subject.rows()
    is_whole = subject.is_whole()
    for number in _some(len(records)):
        rest = subject.open().read(resume_from=records[number].position)
        expected = [_shown(r) for r in records[number + 1 :]]
        found = [_shown(r) for r in islice(rest, None if is_whole else len(expected))]
        expect(found == expected, f"behind row {number + 1}: {_difference(expected, found)}")
    return f"from {len(_some(len(records)))} places of {len(records)}"


def _divides(subject: _Subject) -> str:
    if not subject.is_whole():
        raise NotAskedError(f"there are more than {MOST_ROWS} rows at the option `url`")
    whole = [_shown(r) for r in subject.rows()]
    for rows in SHARD_ROWS:
        shards = list(subject.open().shards(rows=rows))
        expect([s.index for s in shards] == list(range(len(shards))), "shards are not counted")
        joined: list[object] = []
        for shard in shards:
            again = msgspec.json.decode(msgspec.json.encode(shard), type=Shard)
            found = [_shown(r) for r in subject.open().read(again)]
            counted = shard.rows is None or shard.rows == len(found)
            expect(counted, f"shard {shard.index} says {shard.rows} rows and has {len(found)}")
            joined += found
        expect(joined == whole, f"{len(shards)} shards: {_difference(whole, joined)}")
        repeated = list(subject.open().shards(rows=rows))
        expect(shards == repeated, "dividing again gives other shards")
    return f"{len(whole)} rows, shards of {', '.join(map(str, SHARD_ROWS))}"


def _goes_on_in_a_shard(subject: _Subject) -> str:
    shards = list(islice(subject.open().shards(rows=3), PLACES))
    for shard in shards:
        records = list(subject.open().read(shard))
        for number, record in enumerate(records):
            rest = subject.open().read(shard, resume_from=record.position)
            found, expected = ([_shown(r) for r in part] for part in (rest, records[number + 1 :]))
            expect(found == expected, f"shard {shard.index}: {_difference(expected, found)}")
    return f"{len(shards)} shards"


def _reads_in_turns(subject: _Subject) -> str:
    source = subject.open()
    expected = [_shown(r) for r in islice(source.read(), MOST_ROWS)]
    readings = zip_longest(*(islice(source.read(), MOST_ROWS) for _ in range(2)))
    for number, pair in enumerate(readings):
        for record in pair:
            expect(record is not None, "one of two readings ended early")
            if record is not None:
                expect(_shown(record) == expected[number], "readings in turns disturb each other")
    return "two readings"


def _refuses_a_strange_place(subject: _Subject) -> str:
    for position in ("", "no such place", "\x00"):
        try:
            next(iter(subject.open().read(resume_from=position)), None)
        except SourceChangedError:
            continue
        raise AssertionError(f"the position {position!r} was accepted")
    return "SourceChangedError"


def _survives_a_bad_row(subject: _Subject) -> str:
    records = list(islice(subject.open("bad_url").read(), MOST_ROWS))
    bad = [number for number, record in enumerate(records) if record.error is not None]
    expect(bad, "no row of the option `bad_url` is a record with an error")
    expect(bad[0] < len(records) - 1, "no row comes behind the one that cannot be read")
    expect(records[bad[0]].key in str(records[bad[0]].error), "the error does not name the row")
    rest = subject.open("bad_url").read(resume_from=records[bad[0]].position)
    found = [_shown(r) for r in islice(rest, MOST_ROWS)]
    expect(found == [_shown(r) for r in records[bad[0] + 1 :]], "it cannot be gone on behind it")
    return records[bad[0]].key


def _says_what_is_missing(subject: _Subject) -> str:
    try:
        subject.open("missing_url")
    except (InputNotFoundError, DataUrlError) as error:
        return type(error).__name__
    raise AssertionError("something was opened where there is nothing")


def _refuses_options(subject: _Subject) -> str:
    url = subject.urls.get("url")
    if not isinstance(url, str):
        raise NotAskedError("give the option `url`")
    try:
        subject.opener(read_location(url, {**subject.options, "no_such_option": 1}))
    except DataUrlError:
        return "DataUrlError"
    raise AssertionError("an unknown option is accepted")


def _closes_twice(subject: _Subject) -> str:
    source = subject.open()
    next(iter(source.read()), None)
    source.close()
    source.close()
    return "closed twice"


def _some(count: int) -> Sequence[int]:
    """Return places of a list: the ends, and some in between."""
    step = max(1, count // PLACES)
    return sorted({*range(0, count, step), count - 1} - {-1})


def _shown(record: Record) -> object:
    error = None if record.error is None else record.error.problem
    return record.key, record.position, dict(record.values), error


def _difference(expected: Sequence[object], found: Sequence[object]) -> str:
    for number, (one, other) in enumerate(zip_longest(expected, found), start=1):
        if one != other:
            return f"row {number} is {other} instead of {one}"
    return "the same"


ROWS: Final[tuple[Row[_Subject], ...]] = (
    Row(
        name="source.describes",
        check=_describes_itself,
        threshold="columns once each, a fingerprint that stays, plain values",
        consequence="a job cannot tell that its input changed",
        fix="make the fingerprint of sizes, times or versions of what is read",
    ),
    Row(
        name="source.reads",
        check=_reads_records,
        threshold="records with distinct keys and text positions; values or an error",
        consequence="rows cannot be told apart or be gone on from",
        fix="yield `Record(key=..., position=..., values=...)`",
    ),
    Row(
        name="source.schema",
        check=_keeps_to_its_description,
        threshold="rows are as many, and have the columns, that `describe` says",
        consequence="a job's progress and its column checks are wrong",
        fix="say None for what is not known, `is_sampled` for columns of a sample",
    ),
    Row(
        name="source.repeats",
        check=_reads_again,
        threshold="two readings give the same",
        consequence="a job that is resumed mixes two inputs",
        fix="read in an order of its own, such as by key",
    ),
    Row(
        name="source.resumes",
        check=_goes_on,
        threshold="going on from a row's position gives the rows behind it, once each",
        consequence="rows are lost or done twice when a job is resumed",
        fix="let a position be the place right behind its row",
    ),
    Row(
        name="source.shards",
        check=_divides,
        threshold="shards cover every row once, in order, the same each time",
        consequence="rows are lost or done twice",
        fix="let a shard begin where the one before it ends",
    ),
    Row(
        name="source.shards_resume",
        check=_goes_on_in_a_shard,
        threshold="going on inside a shard ends where the shard does",
        consequence="rows of the next shard are done twice",
        fix="end at `shard.stop` also when `resume_from` is given",
    ),
    Row(
        name="source.turns",
        check=_reads_in_turns,
        threshold="two readings of one source do not disturb each other",
        consequence="workers get each other's rows",
        fix="keep the place in the generator, not in the source",
    ),
    Row(
        name="source.positions",
        check=_refuses_a_strange_place,
        threshold="SourceChangedError for a position that is none",
        consequence="a job goes on in the wrong place without a word",
        fix="check a position before reading on from it",
    ),
    Row(
        name="source.bad_rows",
        check=_survives_a_bad_row,
        threshold="a record with an error that names the row; the rows behind it follow",
        consequence="one bad row ends a job of millions",
        fix="yield `Record(..., error=BadRowError(...))` and read on",
    ),
    Row(
        name="source.missing",
        check=_says_what_is_missing,
        threshold="InputNotFoundError or DataUrlError where there is nothing",
        consequence="a typing error in a URL is an empty job",
        fix="look when the source is opened",
    ),
    Row(
        name="source.options",
        check=_refuses_options,
        threshold="DataUrlError for an option that there is not",
        consequence="a typing error in an option goes unnoticed",
        fix='call `location.check_options("the", "known", "ones")`',
    ),
    Row(
        name="source.closes",
        check=_closes_twice,
        threshold="closing twice is fine",
        consequence="cleaning up raises over the error that led to it",
        fix="make `close` do nothing the second time",
    ),
)
"""In the order in which they are asked."""
