"""Spoof sources, flood with refusals, and kill emitters and consumers of durable messages.

No spoofed message may reach a subscriber and each must be in the audit log; no message whose
`emit` returned may be lost, and none may be handled without being sent. `python tests/soak/bus.py`
is the long form.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from table import at_least, at_most, finish, none, told  # type: ignore[import-not-found] # beside

from openautoglm.bus import AuditLog, Bus, Channel, Message, verify
from openautoglm.bus.outboxes.sqlite import SqliteOutbox
from openautoglm.errors import MessageError, SourceForgedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ME: Final = "plugin.auth"
VICTIMS: Final = ("core", "plugin.billing", "openautoglm", "kernel", "CORE", "core.admin")
WORK: Final = """
import sys
from openautoglm.bus import Bus
from openautoglm.bus.outboxes.sqlite import SqliteOutbox
role, path, start = sys.argv[1], sys.argv[2], int(sys.argv[3])
with SqliteOutbox(path) as outbox, Bus(outbox=outbox) as bus:
    if role == "emit":
        for number in range(start, start + 1_000_000):
            bus.emit("job.done", number, durable=True, id=str(number))
            print(number, flush=True)
    else:
        bus.consume("job.*", lambda message: print(message.payload, flush=True), name="worker")
        sys.stdin.read()
"""


@dataclass
class Outcome:
    """What a run came to; `passed`, `unaudited`, `lost` and `invented` are findings."""

    spoofs: int = 0
    passed: int = 0
    unaudited: int = 0
    seconds_spoofing: float = 0.0
    kills: int = 0
    sent: int = 0
    lost: int = 0
    invented: int = 0
    doubled: int = 0
    errors: list[str] = field(default_factory=list)

    def is_clean(self) -> bool:
        """Return whether there is no finding."""
        return not (self.passed or self.unaudited or self.lost or self.invented or self.errors)


class Liar(str):
    """A text that says that it equals any other."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return hash(ME)


def claims(rng: random.Random) -> Iterator[object]:
    """Yield sources that are not ours, without end."""
    while True:
        victim = rng.choice(VICTIMS)
        yield victim
        yield ME.upper()
        yield f"{ME}{rng.choice(['.', ' ', chr(0), chr(10), chr(0x200B), '/', '/../core'])}"
        yield ME.replace("a", rng.choice("аα@"))
        yield f"{victim}.{rng.randrange(10**6)}"
        yield rng.choice([None, 0, True, b"core", [ME], {ME: 1}, (ME,), 1.5, ""])
        yield victim * rng.randrange(2, 2000)
        yield Liar(victim)


def ways(channel: Channel, claimed: object) -> list[Callable[[], object]]:
    """Return the ways to claim a source through a channel."""
    wire = json.dumps(
        {"specversion": "1.0", "id": "1", "source": str(claimed), "type": "config.update"}
    )
    twice = wire.replace('"source"', f'"source": "{ME}", "source"')
    return [
        lambda: channel.emit("config.update", {"source": claimed, "payload": 1}),
        lambda: channel.emit("config.update", payload=1, source=claimed),  # type: ignore[arg-type]  # what is tried
        lambda: channel.emit("config.update", {"source": claimed, "payload": 1, "id": "7"}),
        lambda: channel.publish(Message("config.update", claimed, 1)),  # type: ignore[arg-type]  # what is tried
        lambda: channel.publish(Message.from_json(wire)),
        lambda: channel.publish(Message.from_json(twice)),
    ]


def spoof(outcome: Outcome, folder: Path, *, count: int, seed: int) -> None:
    """Claim other sources so often; whatever reaches a subscriber must carry the channel's own."""
    rng, seen = random.Random(seed), []  # noqa: S311 - a seeded one, to find the same again
    path, started = folder / "audit.jsonl", time.perf_counter()
    forged = 0
    with AuditLog(path, fsync="close") as audit, Bus(audit=audit) as bus:
        bus.subscribe("*", lambda message: seen.append(message.source), inline=True)
        channel = bus.channel(ME, ["emit:config.*"])
        for claimed in claims(rng):
            for way in ways(channel, claimed):
                outcome.spoofs += 1
                try:
                    way()
                except SourceForgedError:
                    forged += 1
                except MessageError:  # no message at all
                    pass
            if outcome.spoofs >= count:
                break
    outcome.passed = sum(type(source) is not str or source != ME for source in seen)
    check = verify(path)
    outcome.unaudited = forged - check.lines if check.ok else forged
    outcome.seconds_spoofing = round(time.perf_counter() - started, 2)


def kill(outcome: Outcome, folder: Path, *, kills: int, seed: int) -> None:
    """Kill emitters and consumers at random points, then work off what is left."""
    rng, path = random.Random(seed), folder / "outbox.db"  # noqa: S311 - a seeded one
    with SqliteOutbox(path) as outbox:
        outbox.feed("core/worker", "job.*").close()
    sent: set[int] = set()
    handled: list[int] = []
    by_turn: dict[int, list[int]] = {}
    for turn in range(kills):
        role = ("emit", "consume")[turn % 2]
        limit = 80 if role == "emit" else min(80, len(sent - set(handled)))
        if limit < 1:
            continue  # all that was sent is handled
        said = killed(role, path, turn * 1_000_000, lines=rng.randint(1, limit))
        if role == "emit":
            by_turn[turn * 1_000_000] = said
            sent.update(said)
        else:
            handled.extend(said)
        outcome.kills += 1
    left = rest(path)
    handled.extend(left)
    outcome.sent = len(sent)
    outcome.lost = len(sent - set(handled))
    outcome.doubled = len(handled) - len(set(handled))
    unheard = {max(said, default=start - 1) + 1 for start, said in by_turn.items()}
    outcome.invented = len(set(handled) - sent - unheard)  # stored, killed before it could say so


def killed(role: str, path: Path, start: int, *, lines: int) -> list[int]:
    """Run a process until it has said so many lines, kill it, and return all that it said."""
    process = subprocess.Popen(
        [sys.executable, "-c", WORK, role, str(path), str(start)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdin is not None
    said = []
    for line in process.stdout:
        said.append(int(line))
        if len(said) >= lines:
            process.send_signal(signal.SIGKILL)
            break
    said += [int(line) for line in process.stdout if line.endswith("\n")]
    process.wait()
    process.stdin.close()
    process.stdout.close()
    return said


def rest(path: Path) -> list[int]:
    """Work off what is left and return it."""
    found = []
    with SqliteOutbox(path) as outbox:
        feed = outbox.feed("core/worker", "job.*")
        outbox.put(Message("job.end", "core"))
        while (claim := feed.next(30.0)) is not None and claim.message.type != "job.end":
            found.append(int(str(claim.message.payload)))
            feed.ack(claim)
        feed.close()
    return found


def run(*, spoofs: int, kills: int, seed: int) -> Outcome:
    """Do both."""
    outcome = Outcome()
    with tempfile.TemporaryDirectory() as folder:
        spoof(outcome, Path(folder), count=spoofs, seed=seed)
        kill(outcome, Path(folder), kills=kills, seed=seed)
    return outcome


def main() -> None:
    """Run, print the outcome as JSON and a table; exit code 1 where there is a finding."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spoofs", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=20_261_123)
    options = parser.parse_args()
    outcome = run(spoofs=options.spoofs, kills=options.kills, seed=options.seed)
    rows = [
        at_least("messages with another's source", outcome.spoofs, options.spoofs),
        at_most("of them delivered", outcome.passed, 0),
        at_most("of them not in the audit log", outcome.unaudited, 0),
        at_least("processes killed", outcome.kills, options.kills),
        told("durable messages sent", outcome.sent),
        at_most("lost", outcome.lost, 0),
        at_most("never sent, and there", outcome.invented, 0),
        told("handled twice by those who were killed", outcome.doubled),
        none("errors", outcome.errors),
    ]
    finish("The bus", outcome, rows)


if __name__ == "__main__":
    main()
