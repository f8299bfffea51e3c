"""`oag scheduler`: the process that starts jobs when their schedules say so."""

from __future__ import annotations

from typing import Annotated

import typer

from openautoglm.cli.batch_run import Engine, Ledger  # noqa: TC001 - typer reads them


def scheduler(
    once: Annotated[
        bool, typer.Option("--once", help="Start what is due now, and end; for a cron of yours.")
    ] = False,
    ledger: Ledger = None,
    engine: Engine = None,
) -> None:
    """Start the jobs of all schedules when it is time, until SIGTERM or Ctrl-C; jobs go on then.

    Any number may run, on one machine or, where the ledger is PostgreSQL, on many: each time of a
    schedule is fired by one. What happens is written to stderr, a line each.
    """
    from openautoglm.cli.exits import say
    from openautoglm.jobs.home import ledger_url
    from openautoglm.jobs.launching import LocalLauncher
    from openautoglm.jobs.schedules import Scheduler, Schedules

    url = ledger_url(ledger)
    _log_to_stderr()
    with Schedules(url) as schedules:
        runs = Scheduler(schedules, LocalLauncher(url, engine=engine))
        if once:
            runs.tick()
            while runs.is_behind:
                runs.tick()
            return
        say(f"{len(schedules.list())} schedules; SIGTERM or Ctrl-C ends this, jobs go on")
        runs.run()


def _log_to_stderr() -> None:
    import logging

    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(message)s"))
    log = logging.getLogger("openautoglm.schedules")
    log.addHandler(handler)
    log.setLevel(logging.INFO)
