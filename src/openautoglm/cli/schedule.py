"""`oag schedule`: schedules applied, looked at, paused, and their times made up for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from openautoglm.cli.batch_run import AsJson, Ledger  # noqa: TC001 - typer reads the annotations

if TYPE_CHECKING:
    from openautoglm.jobs.schedules import Schedules

schedule = typer.Typer(help="Run jobs at set times.", no_args_is_help=True)

Name: TypeAlias = Annotated[str, typer.Argument(metavar="NAME", help="The schedule.")]
File: TypeAlias = Annotated[
    str, typer.Argument(metavar="FILE", help="A YAML file of schedules; `-` is standard input.")
]


@schedule.command()
def apply(file: File, ledger: Ledger = None) -> None:
    """Make the schedules of a file those of the ledger. Nothing fires for times that are past."""
    from openautoglm.cli.schedule_output import coming
    from openautoglm.errors import ScheduleError
    from openautoglm.jobs.kinds import read_kinds

    found = read_kinds(file).schedules
    if not found:
        raise ScheduleError(f"{file} holds no schedule", fix="add a document of kind Schedule")
    with opened(ledger) as schedules:
        for each in found.values():
            verb = "applied" if schedules.apply(each) else "unchanged"
            typer.echo(f"{verb:<9} {each.name}  {coming(schedules.get(each.name))}")


@schedule.command("list")
def list_schedules(as_json: AsJson = False, ledger: Ledger = None) -> None:
    """List the schedules with their next times."""
    from openautoglm.cli import schedule_output as output

    with opened(ledger) as schedules:
        for each in schedules.list():
            typer.echo(output.as_json(each) if as_json else output.listed(each))


@schedule.command("next")
def next_times(
    name: Annotated[
        str, typer.Argument(metavar="NAME|FILE.yaml", help="A schedule, or a file not yet applied.")
    ],
    count: Annotated[int, typer.Option(min=1, max=10_000, help="How many.")] = 5,
    ledger: Ledger = None,
) -> None:
    """Print the times to come, one a line, on the clocks of the schedule's time zone."""
    from openautoglm.cli.schedule_output import clock
    from openautoglm.jobs.kinds import read_kinds

    if name.endswith((".yaml", ".yml")):
        for each in read_kinds(name).schedules.values():
            for moment in each.next(count):
                typer.echo(f"{each.name}  {clock(moment, each)}")
        return
    with opened(ledger) as schedules:
        entry = schedules.get(name)
    for moment in entry.next(count):
        typer.echo(f"{name}  {clock(moment, entry.schedule)}")


@schedule.command()
def pause(name: Name, ledger: Ledger = None) -> None:
    """Let a schedule fire no more until it is resumed."""
    with opened(ledger) as schedules:
        changed = schedules.pause(name)
    typer.echo(f"{'paused' if changed else 'unchanged':<9} {name}")


@schedule.command()
def resume(name: Name, ledger: Ledger = None) -> None:
    """Let a schedule fire again, from now on: what it missed while it was paused stays missed."""
    from openautoglm.cli.schedule_output import coming

    with opened(ledger) as schedules:
        verb = "resumed" if schedules.resume(name) else "unchanged"
        typer.echo(f"{verb:<9} {name}  {coming(schedules.get(name))}")


@schedule.command()
def trigger(name: Name, ledger: Ledger = None) -> None:
    """Ask for one run now; a scheduler starts it, also where the schedule is paused."""
    from openautoglm.cli.exits import say

    with opened(ledger) as schedules:
        schedules.trigger(name)
    typer.echo(f"triggered {name}")
    say("a scheduler starts it: oag scheduler, or oag scheduler --once")


@schedule.command()
def backfill(
    name: Name,
    start: Annotated[str, typer.Option("--from", metavar="TIME", help="Of the first, ISO 8601.")],
    end: Annotated[str, typer.Option("--to", metavar="TIME", help="Of the last, ISO 8601.")],
    ledger: Ledger = None,
) -> None:
    """Ask for runs at past times between two moments that had none; a scheduler starts them.

    A moment without an offset is one of the schedule's time zone.
    """
    from openautoglm.jobs.schedules.times import moment_of
    from openautoglm.jobs.schedules.zones import zone_of

    with opened(ledger) as schedules:
        zone = zone_of(schedules.get(name).schedule.timezone)
        first, last = moment_of("from", start, zone), moment_of("to", end, zone)
        count = schedules.backfill(name, first, last)
    typer.echo(f"{count:,} times of {name}")


@schedule.command()
def history(
    name: Name,
    limit: Annotated[int, typer.Option(min=1, help="How many.")] = 20,
    as_json: AsJson = False,
    ledger: Ledger = None,
) -> None:
    """Print what became of a schedule's times, the newest first."""
    from openautoglm.cli import schedule_output as output

    with opened(ledger) as schedules:
        zone = schedules.get(name).schedule
        for slot in schedules.history(name, limit):
            typer.echo(output.as_json(slot) if as_json else output.happened(slot, zone))


@schedule.command()
def remove(name: Name, ledger: Ledger = None) -> None:
    """Forget a schedule and its history; jobs it began go on."""
    with opened(ledger) as schedules:
        schedules.remove(name)
    typer.echo(f"removed   {name}")


def opened(ledger: str | None) -> Schedules:
    """Return the schedules of a ledger."""
    from openautoglm.jobs.home import ledger_url
    from openautoglm.jobs.schedules import Schedules

    return Schedules(ledger_url(ledger))
