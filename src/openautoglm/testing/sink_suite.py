"""What every sink of rows must do, as rows that name what is wrong.

Owns `sink_suite`. It reads back what it wrote, so it needs a source for the same place. What it
does not ask: whether rows survive a power failure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from secrets import token_hex
from typing import TYPE_CHECKING, Final, TypeAlias, cast

from openautoglm.data.catalog import open_source
from openautoglm.data.location import read_location
from openautoglm.data.sink import Part, Receipt, writing
from openautoglm.errors import (
    BadRowError,
    DataUrlError,
    InputNotFoundError,
    SinkConflictError,
    SourceChangedError,
)
from openautoglm.testing.suite import NotAskedError, Row, contribution_of, expect, findings_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openautoglm.data.sink import Sink, SinkOpener
    from openautoglm.plugins.report import Finding

Reader: TypeAlias = Callable[[str], "list[dict[str, object]]"]
MARK: Final = "{n}"
SAMPLE: Final[tuple[dict[str, object], ...]] = (
    {"id": 1, "text": "请总结 “this”\n", "score": 0.5, "is_new": True, "note": None},
    {"id": 2, "text": "", "score": -1.25, "is_new": False, "note": "x"},
    {"id": 3, "text": "👋🏽 \u2028", "score": 0.0, "is_new": True, "note": None},
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Subject:
    opener: SinkOpener
    templates: Mapping[str, object]
    reader: Reader
    job: str = "check"

    def url(self, option: str = "url") -> str:
        """Return a place of the row's own, where nothing is."""
        template = self.templates.get(option)
        if not isinstance(template, str):
            raise NotAskedError(f"give the option `{option}`, with {MARK} where a number may be")
        return template.replace(MARK, token_hex(6))

    def open(self, url: str, part: Part | None = None) -> Sink:
        return self.opener(read_location(url, {}), part)

    def part(self, *, shard: int = 0, attempt: int = 1) -> Part:
        return Part(job=self.job, shard=shard, attempt=attempt)

    def rows(self, url: str) -> list[dict[str, object]]:
        """Return what is visible at a place; nothing where there is nothing."""
        try:
            return self.reader(url)
        except (InputNotFoundError, SourceChangedError):
            return []


def sink_suite(factory: Callable[[], object], options: Mapping[str, object]) -> Iterator[Finding]:
    """Check a sink's opener, made anew for each row.

    Args:
        factory: returns what opens a sink.
        options: `url` for whole outputs and `part_url` for parts, `{n}` in them stands for a number
            that makes each place a new one; `reader`: a function from a URL to the rows there, what
            `open_source` reads where none is given.
    """

    def make() -> _Subject:
        return _Subject(
            opener=cast("SinkOpener", factory()),
            templates=options,
            reader=cast("Reader", options.get("reader", _read)),
        )

    return findings_of(ROWS, make, contribution_of("sink", options))


def _shows_all_when_committed(subject: _Subject) -> str:
    url = subject.url()
    sink = subject.open(url)
    sink.write(SAMPLE[:2])
    sink.write([])
    sink.write(SAMPLE[2:])
    expect(not subject.rows(url), "rows are visible before `commit`")
    receipt = sink.commit()
    expect(isinstance(receipt, Receipt), f"`commit` returned {type(receipt).__name__}")
    expect(receipt.rows == len(SAMPLE), f"the receipt says {receipt.rows} of {len(SAMPLE)} rows")
    found = subject.rows(url)
    expect(found == list(SAMPLE), f"read back: {found}")
    return f"{len(SAMPLE)} rows"


def _commits_again(subject: _Subject) -> str:
    url = subject.url()
    sink = subject.open(url)
    expect(sink.committed() is None, "`committed` before `commit`")
    sink.write(SAMPLE)
    first = sink.commit()
    expect(sink.commit() == first, "a second `commit` returns another receipt")
    expect(sink.committed() == first, "`committed` returns another receipt")
    expect(len(subject.rows(url)) == len(SAMPLE), "a second `commit` wrote again")
    return "the same receipt"


def _forgets_when_aborted(subject: _Subject) -> str:
    url = subject.url()
    sink = subject.open(url)
    sink.write(SAMPLE)
    sink.abort()
    sink.abort()
    expect(not subject.rows(url), "rows are visible after `abort`")
    with writing(subject.open(url)) as other:
        other.write(SAMPLE[:1])
    other.abort()
    expect(len(subject.rows(url)) == 1, "`abort` after `commit` took rows away")
    return "nothing stays"


def _takes_nothing_after_its_end(subject: _Subject) -> str:
    for end in ("commit", "abort"):
        sink = subject.open(subject.url())
        sink.write(SAMPLE)
        getattr(sink, end)()
        _refused(partial(sink.write, SAMPLE), f"rows were taken after `{end}`")
    sink = subject.open(subject.url())
    sink.abort()
    _refused(sink.commit, "what was aborted was committed")
    return "SinkConflictError"


def _refuses_a_bad_row(subject: _Subject) -> str:
    url = subject.url()
    sink = subject.open(url)
    sink.write(SAMPLE[:1])
    for bad in ({1: "a column without a name"}, "no row"):
        batch = [SAMPLE[1], cast("Mapping[str, object]", bad)]
        try:
            sink.write(batch)
        except BadRowError:
            continue
        raise AssertionError(f"{bad!r} was taken for a row")
    sink.commit()
    found = subject.rows(url)
    expect(found == [SAMPLE[0]], f"rows of a batch that was refused are there: {found}")
    return "BadRowError, none of its batch"


def _replaces_what_was_there(subject: _Subject) -> str:
    url = subject.url()
    for rows in (SAMPLE[:2], SAMPLE[2:]):
        sink = subject.open(url)
        sink.write(rows)
        sink.commit()
    found = subject.rows(url)
    expect(found == list(SAMPLE[2:]), f"after two outputs to one place: {found}")
    return "the last output stays"


def _commits_no_rows(subject: _Subject) -> str:
    receipt = subject.open(subject.url()).commit()
    expect(receipt.rows == 0, f"the receipt says {receipt.rows} rows")
    return "0 rows"


def _commits_a_part_once(subject: _Subject) -> str:
    url = subject.url("part_url")
    slow, fast = (subject.open(url, subject.part(attempt=n)) for n in (1, 2))
    slow.write(SAMPLE[:1])
    fast.write(SAMPLE[1:])
    fast.commit()
    _refused(slow.commit, "two attempts at one part were committed")
    slow.abort()
    found = subject.rows(url)
    expect(found == list(SAMPLE[1:]), f"read back after two attempts: {found}")
    return "the first of two attempts"


def _tells_what_was_committed(subject: _Subject) -> str:
    url = subject.url("part_url")
    sink = subject.open(url, subject.part())
    sink.write(SAMPLE)
    receipt = sink.commit()
    later = subject.open(url, subject.part(attempt=2))
    found = later.committed()
    later.abort()
    expect(found is not None, "a later attempt does not see that the part was committed")
    expect(found == receipt, f"a later attempt sees {found} instead of {receipt}")
    other = subject.open(url, subject.part(shard=1))
    expect(other.committed() is None, "another part is committed as well")
    other.abort()
    return "seen by a later attempt"


def _joins_parts(subject: _Subject) -> str:
    url = subject.url("part_url")
    for shard in (2, 0, 1):
        sink = subject.open(url, subject.part(shard=shard))
        sink.write(SAMPLE[shard : shard + 1])
        sink.commit()
    found = subject.rows(url)
    expect(found == list(SAMPLE), f"three parts read back: {found}")
    return "3 parts, in order"


def _leaves_no_trace_of_the_dead(subject: _Subject) -> str:
    url = subject.url("part_url")
    dead = subject.open(url, subject.part())
    dead.write(SAMPLE)
    expect(not subject.rows(url), "rows of an attempt that never ended are visible")
    sink = subject.open(url, subject.part(attempt=2))
    sink.write(SAMPLE[:1])
    sink.commit()
    found = subject.rows(url)
    dead.abort()
    expect(found == [SAMPLE[0]], f"beside an attempt that never ended: {found}")
    expect(subject.rows(url) == [SAMPLE[0]], "aborting it took away what another committed")
    return "an attempt that died is not seen"


def _refuses_options(subject: _Subject) -> str:
    location = read_location(subject.url(), {"no_such_option": 1})
    try:
        subject.opener(location, None).abort()
    except DataUrlError:
        return "DataUrlError"
    raise AssertionError("an unknown option is accepted")


def _refused(verb: Callable[[], object], found: str) -> None:
    try:
        verb()
    except SinkConflictError:
        return
    raise AssertionError(found)


def _read(url: str) -> list[dict[str, object]]:
    return [dict(record.values) for record in open_source(url).read()]


_LOST: Final = "rows are lost, or readers see half an output"
_TWICE: Final = "rows are there twice after a crash"

ROWS: Final[tuple[Row[_Subject], ...]] = (
    Row(
        name="sink.commits",
        check=_shows_all_when_committed,
        threshold="nothing before `commit`, after it every row as it was written",
        consequence=_LOST,
        fix="write beside the target and put it in place with one step",
    ),
    Row(
        name="sink.commits_again",
        check=_commits_again,
        threshold="a second `commit` returns the same receipt and writes nothing",
        consequence=_TWICE,
        fix="keep the receipt",
    ),
    Row(
        name="sink.aborts",
        check=_forgets_when_aborted,
        threshold="nothing stays after `abort`; after `commit` it does nothing",
        consequence="rows of a failed attempt are taken for results",
        fix="remove what was written, unless it was committed",
    ),
    Row(
        name="sink.ends",
        check=_takes_nothing_after_its_end,
        threshold="SinkConflictError for rows after `commit` or `abort`",
        consequence="rows vanish without a word",
        fix="refuse them",
    ),
    Row(
        name="sink.bad_rows",
        check=_refuses_a_bad_row,
        threshold="BadRowError, and none of the batch is taken",
        consequence="a batch that is written again is there twice",
        fix="check all rows before the first is written",
    ),
    Row(
        name="sink.replaces",
        check=_replaces_what_was_there,
        threshold="a whole output takes the place of what was there",
        consequence="two runs are mixed in one output",
        fix="write a new output and exchange it for the old one",
    ),
    Row(
        name="sink.empty",
        check=_commits_no_rows,
        threshold="an output of no rows is committed",
        consequence="a shard without results can never be finished",
        fix="commit what there is, nothing as well",
    ),
    Row(
        name="sink.parts_once",
        check=_commits_a_part_once,
        threshold="of two attempts at a part the first that commits stays",
        consequence=_TWICE,
        fix="make the commit fail where the part is there, in the same step",
    ),
    Row(
        name="sink.parts_known",
        check=_tells_what_was_committed,
        threshold="a later attempt gets the receipt of the part, and of no other",
        consequence="a job that was killed does finished work again",
        fix="look in the place where `commit` puts the part",
    ),
    Row(
        name="sink.parts_join",
        check=_joins_parts,
        threshold="parts are read in the order of their shards",
        consequence="the output is in another order than the input",
        fix="name parts so that they sort by shard",
    ),
    Row(
        name="sink.parts_dead",
        check=_leaves_no_trace_of_the_dead,
        threshold="an attempt that never ended is not seen and is in nobody's way",
        consequence="a killed worker blocks or spoils its part",
        fix="give each attempt a hidden place of its own",
    ),
    Row(
        name="sink.options",
        check=_refuses_options,
        threshold="DataUrlError for an option that there is not",
        consequence="a typing error in an option goes unnoticed",
        fix='call `location.check_options("the", "known", "ones")`',
    ),
)
"""In the order in which they are asked."""
