"""What a check found, as data, as JSON and as a table.

Owns `CheckRow` and `CheckReport`. Knows nothing of how anything is checked.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Literal, TypeAlias

from openautoglm.errors import CheckFailedError

if TYPE_CHECKING:
    from collections.abc import Sequence

Status: TypeAlias = Literal["pass", "fail", "skip"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckRow:
    """One property of one kernel, or of the operator as torch sees it.

    Attributes:
        op: the operator.
        subject: the kernel's name, `contract` or `torch`.
        row: the property.
        status: whether it holds; `skip` where it could not be asked.
        cases: how many calls were made to find out.
        problem: what is wrong, or why it was skipped; empty where it holds.
        example: the smallest input found that shows it; empty where none does.
    """

    op: str
    subject: str
    row: str
    status: Status
    cases: int = 0
    problem: str = ""
    example: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckReport:
    """Everything that was asked of one operator or library; prints as a table.

    Attributes:
        target: what was checked, as it was named.
        profile: `full` or `quick`.
        seed: what all values were drawn from.
        rows: in the order in which they were asked.
    """

    target: str
    profile: str
    seed: int
    rows: tuple[CheckRow, ...]

    @property
    def failures(self) -> tuple[CheckRow, ...]:
        """The rows that fail."""
        return tuple(row for row in self.rows if row.status == "fail")

    @property
    def ok(self) -> bool:
        """Whether something was asked, and nothing fails."""
        return not self.failures and any(row.status == "pass" for row in self.rows)

    @property
    def digest(self) -> str:
        """The sha256, in hex, of `to_json`."""
        return sha256(self.to_json().encode()).hexdigest()

    def to_json(self) -> str:
        """Return the report as JSON: one object with `target`, `profile`, `seed`, `ok`, `rows`."""
        content = {
            "target": self.target,
            "profile": self.profile,
            "seed": self.seed,
            "ok": self.ok,
            "rows": [asdict(row) for row in self.rows],
        }
        return json.dumps(content, ensure_ascii=False, indent=2)

    def raise_for_failures(self) -> None:
        """Raise where something fails.

        Raises:
            CheckFailedError: with the first failures, and the input that shows each.
        """
        if self.ok:
            return
        lines = [f"{row.op}/{row.subject} {row.row}: {_reason(row)}" for row in self.failures[:5]]
        more = len(self.failures) - len(lines)
        raise CheckFailedError(
            f"`{self.target}` does not keep its contract",
            got="\n       ".join([*lines, *([f"and {more} more"] if more > 0 else [])])
            or "nothing could be checked",
            fix="call the kernel with this input; `print(report)` shows all rows",
        )

    def __str__(self) -> str:
        cells = [("operator", "subject", "row", "", "cases")]
        cells += [(r.op, r.subject, r.row, r.status, str(r.cases or "")) for r in self.rows]
        widths = [max(len(cell[i]) for cell in cells) for i in range(len(cells[0]))]
        lines = [_line(cells[0], widths)]
        for cell, row in zip(cells[1:], self.rows, strict=True):
            lines.append(_line(cell, widths, _reason(row)))
        return "\n".join([*lines, self.summary()])

    def summary(self) -> str:
        """Return one line: how many rows hold, fail and were skipped."""
        counts = Counter(row.status for row in self.rows)
        parts = [f"{counts[status]} {status}" for status in ("pass", "fail", "skip")]
        return f"{self.target}: {', '.join(parts)} ({self.profile}, seed {self.seed})"


def _line(cells: Sequence[str], widths: Sequence[int], note: str = "") -> str:
    padded = [cell.ljust(width) for cell, width in zip(cells, widths, strict=True)]
    return "  ".join([*padded, note]).rstrip()


def _reason(row: CheckRow) -> str:
    return f"{row.problem} | {row.example}" if row.example else row.problem
