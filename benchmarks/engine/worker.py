"""One process of one method: loads a model, then does work when it is told, and answers in JSON.

    python worker.py '{"module": …, "model": …, "folder": …, "kind": …, "threads": 1}'

reads lines `{"work": PATH, "index": 0, "parts": 1, "repeats": 1}`; no repeats is a little of the
work, to warm up. The driver sets where it may run.
"""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, TextIO

import methods
import work

if TYPE_CHECKING:
    from methods import Method

WARM_ROWS: Final = 2
WARM_TOKENS: Final = 4


def main() -> None:
    """Load, then serve until the input ends."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    given = json.loads(sys.argv[1])
    module, folder = given.pop("module"), Path(given.pop("folder"))
    began = time.monotonic()
    method = methods.load(module, methods.Setting(folder=folder, **given))
    _answer(out, {"loaded_s": time.monotonic() - began})
    for line in sys.stdin:
        asked = json.loads(line)
        whole = work.read(Path(asked["work"]))
        part = whole.part(asked["index"], asked["parts"])
        if asked["repeats"] == 0:
            method.run(_short(part))
            _answer(out, {})
        else:
            _answer(out, _timed(method, part, asked["repeats"]))


def _timed(method: Method, part: work.Work, repeats: int) -> dict[str, object]:
    """Do it with other prompts each time, so that no answer was computed before."""
    parts = [part.shifted(turn) for turn in range(repeats)]
    cpu, start = time.process_time(), time.monotonic()
    found = [method.run(one) for one in parts]
    end, spent = time.monotonic(), time.process_time() - cpu
    counts = [[len(answer) for answer in answers] for answers in found]
    if any(count != counts[0] for count in counts):
        raise SystemExit("the same work gives other numbers of tokens")
    return {
        "start": start,
        "end": end,
        "cpu_s": spent,
        "notes": getattr(method, "notes", {}),
        "answers": [[int(token) for token in answer] for answer in found[0]],
        "peak_rss": _peak_rss(),
    }


def _short(part: work.Work) -> work.Work:
    """Return a little of it, so that what happens once has happened."""
    lengths = tuple(min(WARM_TOKENS, length) for length in part.lengths[:WARM_ROWS])
    return replace(part.shifted(-1), prompts=part.shifted(-1).prompts[:WARM_ROWS], lengths=lengths)


def _peak_rss() -> int:
    """Return bytes; getrusage would begin with those of the process that started this one."""
    lines = Path("/proc/self/status").read_text("ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def _answer(out: TextIO, value: dict[str, object]) -> None:
    out.write(json.dumps(value) + "\n")
    out.flush()


if __name__ == "__main__":
    main()
