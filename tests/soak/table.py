"""The table that every soak ends with: what was counted, what it may be, and whether it is.

The outcome goes to standard output as JSON, the table to standard error. What a shorter run cannot
say, such as times, is shown and not judged there.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NoReturn

if TYPE_CHECKING:
    from collections.abc import Sequence

_BEGAN: Final = time.monotonic()


@dataclass(frozen=True, slots=True)
class Row:
    """One figure; `threshold` is empty where it is only told."""

    figure: str
    measured: object
    threshold: str = ""
    verdict: str = ""


def at_least(figure: str, measured: float, limit: float) -> Row:
    """Return a row that fails below its limit."""
    return Row(figure, measured, f">= {limit:g}", _verdict(is_good=measured >= limit))


def at_most(figure: str, measured: float, limit: float, *, judged: bool = True) -> Row:
    """Return a row that fails above its limit, unless it is not judged."""
    verdict = _verdict(is_good=measured <= limit) if judged else "not judged"
    return Row(figure, measured, f"<= {limit:g}", verdict)


def none(figure: str, found: Sequence[object]) -> Row:
    """Return a row that fails where there is anything."""
    return Row(figure, len(found), "0", _verdict(is_good=not found))


def told(figure: str, measured: object) -> Row:
    """Return a row that cannot fail."""
    return Row(figure, measured)


def finish(title: str, outcome: object, rows: Sequence[Row]) -> NoReturn:
    """Print both, and end with 1 where a row fails."""
    sys.stdout.write(json.dumps(outcome, default=vars, indent=2) + "\n")
    sys.stdout.flush()
    code = int(any(row.verdict == "FAIL" for row in rows))
    cells = [(row.figure, str(row.measured), row.threshold, row.verdict) for row in rows]
    cells += [
        ("seconds", f"{time.monotonic() - _BEGAN:.0f}", "", ""),
        ("exit code", str(code), "", ""),
    ]
    widths = [max(len(row[n]) for row in [*cells, _HEAD]) for n in range(4)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in [_HEAD, *cells]]
    sys.stderr.write(f"\n{title}\n" + "".join(f"  {line}\n" for line in lines))
    sys.exit(code)


_HEAD: Final = ("figure", "measured", "threshold", "verdict")


def _verdict(*, is_good: bool) -> str:
    return "pass" if is_good else "FAIL"
