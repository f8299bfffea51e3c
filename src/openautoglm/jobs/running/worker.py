"""One worker process of a batch: `python -m openautoglm.jobs.running.worker`.

Owns what is put together: orders, ledger, source, work, sink, and the threads between them. See
`openautoglm.jobs.orders` for what it is told and what it says.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from openautoglm.data.catalog import open_source
from openautoglm.errors import InvalidParameterError, LedgerError, OutputWriteError
from openautoglm.errors.passing import may_pass
from openautoglm.jobs.destination import parts_url
from openautoglm.jobs.fingerprints import check_work
from openautoglm.jobs.home import home, open_at
from openautoglm.jobs.orders import EXITS, Report
from openautoglm.jobs.running.answering import Answering
from openautoglm.jobs.running.answers_file import NAME
from openautoglm.jobs.running.breaker import Breaker
from openautoglm.jobs.running.cache import AnswerCache
from openautoglm.jobs.running.committing import Committer
from openautoglm.jobs.running.crew import Crew
from openautoglm.jobs.running.feed import Feed
from openautoglm.jobs.running.journal_buffer import JournalBuffer
from openautoglm.jobs.running.keeper import GRACE_S, Keeper, Parts
from openautoglm.jobs.running.leash import Leash
from openautoglm.jobs.running.open_shard import OpenShard
from openautoglm.jobs.running.rate import Pace
from openautoglm.jobs.running.reading import steadily
from openautoglm.jobs.running.retrying import Backoff
from openautoglm.jobs.running.starting import patiently
from openautoglm.jobs.running.told import fault_of
from openautoglm.jobs.spec import JobSpec
from openautoglm.jobs.works import open_work, read_intent
from openautoglm.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from openautoglm.data.source import Record, Shard, Source
    from openautoglm.jobs.ledger.ledger import Ledger
    from openautoglm.jobs.ledger.records import Claim
    from openautoglm.jobs.orders import Orders
    from openautoglm.jobs.work import Work

_log: Final = logging.getLogger("openautoglm.jobs")


class Tools(NamedTuple):
    """What a worker works with, all of it open."""

    ledger: Ledger
    spec: JobSpec
    source: Source
    work: Work


def run(orders: Orders, *, is_told: Callable[[], bool], grace_s: float = GRACE_S) -> Report:
    """Be a worker until there is a reason to end.

    Args:
        orders: what to do.
        is_told: whether to stop; asked often.
        grace_s: seconds that rows under way have to end in then.
    """
    with ExitStack() as stack:
        try:
            tools = _open(orders, stack, is_told)
            keeper, crew = _assembled(orders, tools, stack, is_told=is_told, grace_s=grace_s)
        except Exception as error:  # noqa: BLE001 - work and sources may raise anything: it is told
            _log.warning("worker %d cannot begin", orders.index, exc_info=True)
            is_stuck = isinstance(error, (LedgerError, OutputWriteError)) or may_pass(error)
            return Report(why="stuck" if is_stuck else "unfit", error=fault_of(error))
        report = keeper.run()
        if not crew.is_at_work:  # else the model is in use; the process ends with it
            tools.work.close()
        return report


def main() -> int:
    """Do as standard input says; return the exit code."""
    leash = Leash.of_process()
    try:
        orders = leash.orders()
    except msgspec.DecodeError as error:
        report = Report(why="unfit", error=fault_of(error))
    else:
        report = _told_how(orders, leash)
    leash.report(report)
    return EXITS[report.why]


def _told_how(orders: Orders, leash: Leash) -> Report:
    try:
        grace_s = Settings.from_env(os.environ).worker_grace_s
    except InvalidParameterError as error:
        return Report(why="unfit", error=fault_of(error))
    return run(orders, is_told=lambda: leash.is_told, grace_s=grace_s)


def _open(orders: Orders, stack: ExitStack, is_told: Callable[[], bool]) -> Tools:
    ledger = open_at(orders.ledger)
    stack.callback(ledger.close)
    record = ledger.job(orders.job)
    spec = msgspec.json.decode(record.spec, type=JobSpec)
    source = patiently(lambda: open_source(spec.source), is_told)
    stack.callback(source.close)
    work = patiently(lambda: open_work(spec), is_told)
    check_work(record.fingerprint, work.fingerprint(), job=orders.job)
    return Tools(ledger, spec, source, work)


def _assembled(
    orders: Orders,
    tools: Tools,
    stack: ExitStack,
    *,
    is_told: Callable[[], bool],
    grace_s: float,
) -> tuple[Keeper, Crew]:
    ledger, spec, source, work = tools
    wake = threading.Event()
    backoff = Backoff(spec.backoff_s)
    feed = Feed(
        concurrency=spec.concurrency,
        tries=spec.tries,
        backoff=backoff,
        breaker=Breaker(backoff),
        pace=Pace(spec.rate, of=orders.of, now_s=time.monotonic()),
        wake=wake.set,
        clock=time.monotonic,
    )
    cache = stack.enter_context(_cache(spec, work, feed)) if spec.cache else None
    buffer = JournalBuffer(wake.set)
    crew = Crew(spec.concurrency, feed, Answering(spec, work, cache), buffer, cache)
    committer = stack.enter_context(Committer(ledger, parts_url(spec.sink), wake.set))

    def opened(claim: Claim, answered: frozenset[int]) -> OpenShard:
        def read(shard: Shard) -> Iterator[Record]:
            return steadily(source, shard, feed.pause)

        return OpenShard(claim, read, answered, window=feed.window)

    keeper = Keeper(
        orders,
        ledger,
        Parts(feed, crew, buffer, committer, cache),
        opened=opened,
        is_static=spec.assignment == "static",
        is_told=is_told,
        wake=wake,
        grace_s=grace_s,
    )
    return keeper, crew


def _cache(spec: JobSpec, work: Work, feed: Feed) -> AnswerCache:
    takes = read_intent(spec).takes()
    most = Settings.from_env(os.environ).answers_mb << 20
    marks = work.fingerprint()
    return AnswerCache(home() / NAME, marks, takes, feed.release, limit_bytes=most)


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # threads of rows that did not end in time, or of a model, keep no process
