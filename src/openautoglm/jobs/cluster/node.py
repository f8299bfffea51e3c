"""What answers on a node: `python -m openautoglm.jobs.cluster.node`.

Reads a `Question`, looks at one thing after the other, and says what it found as soon as it knows,
so that whoever asked knows what a node hangs on.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import msgspec

from openautoglm.jobs.cluster.looking import looks
from openautoglm.jobs.cluster.question import Question, Said
from openautoglm.jobs.running.told import fault_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from openautoglm.jobs.cluster.question import Fact, Topic


def answer(question: Question, say: Callable[[Said], None]) -> None:
    """Look at all that is asked for; what fails is said as well."""
    for topic, look in looks(question):
        say(Said(topic=topic, is_begun=True))
        say(_said(topic, look))


def _said(topic: Topic, look: Callable[[], Mapping[str, Fact]]) -> Said:
    try:
        return Said(topic=topic, facts=look())
    except Exception as error:  # noqa: BLE001 - sources and functions may raise anything: it is told
        return Said(topic=topic, fault=fault_of(error))


def main() -> None:
    """Answer on standard output; what modules print goes to standard error."""
    question = msgspec.json.decode(sys.stdin.buffer.read(), type=Question)
    with os.fdopen(os.dup(sys.stdout.fileno()), "wb") as out:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

        def say(said: Said) -> None:
            out.write(msgspec.json.encode(said) + b"\n")
            out.flush()

        answer(question, say)
        os._exit(0)  # threads of a user's modules are not waited for


if __name__ == "__main__":
    main()
