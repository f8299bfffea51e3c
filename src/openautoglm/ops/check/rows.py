"""From many calls to rows: the first failure of each property, made small.

Owns `Ledger`. Asks a worker; knows neither what is asked nor how a call is made.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final, final

from openautoglm.ops.check.report import CheckRow
from openautoglm.ops.check.shrink import shrink
from openautoglm.ops.check.trial import Outcome, Problem
from openautoglm.ops.check.worker import ProcessEndedError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from openautoglm.ops.check.plan import Plan
    from openautoglm.ops.check.sample import Sample
    from openautoglm.ops.check.worker import Worker
    from openautoglm.ops.opdef import OpDef

MAX_DEATHS: Final = 3
"""After so many crashes no more calls are made."""
HANG_TIMEOUT_S: Final = 1.0
"""How long a call may take while a hang is made smaller."""
HANG_BUDGET: Final = 4


@final
class Ledger:
    """The rows of one subject, filled call by call."""

    def __init__(
        self,
        opdef: OpDef,
        subject: str,
        rows: Sequence[str],
        plan: Plan,
        samples: Sequence[Sample],
    ) -> None:
        self._opdef = opdef
        self._subject = subject
        self._order = rows
        self._plan = plan
        self._simple = {sample.dtypes: sample for sample in reversed(samples)}
        self._cases: Counter[str] = Counter()
        self._failures: dict[str, tuple[str, Sample]] = {}
        self._skips: Counter[str] = Counter()
        self._deaths = 0
        self._has_hung = False

    @property
    def is_dead(self) -> bool:
        """Whether the subject ended its process too often to go on."""
        return self._has_hung or self._deaths >= MAX_DEATHS

    @property
    def has_died(self) -> bool:
        """Whether the subject ended its process or wrote where it must not."""
        return self._has_hung or self._deaths > 0 or "bounds" in self._failures

    def has_failed(self, row: str) -> bool:
        """Return whether a property was found not to hold."""
        return row in self._failures

    def ask(self, worker: Worker[object, Outcome], sample: Sample) -> bool:
        """Make a call, note what came of it, and return whether all was well."""
        if self.is_dead:
            return False
        outcome = self._outcome(worker, sample, self._plan.timeout_s)
        self._cases.update(outcome.rows)
        if outcome.skipped:
            self._skips[outcome.skipped] += 1
        for problem in outcome.problems:
            self._failures.setdefault(problem.row, (problem.text, sample))
        return not outcome.problems

    def note(self, row: str, outcome: Outcome, sample: Sample) -> None:
        """Note what came of a question of another kind; it is not made smaller."""
        self._cases[row] += 1
        for problem in outcome.problems:
            self._failures.setdefault(problem.row, (problem.text, sample))

    def close(
        self, worker: Worker[object, Outcome], *, whole: Sequence[str] = ()
    ) -> tuple[CheckRow, ...]:
        """Make failures smaller and return the rows, those of no case left out.

        Args:
            worker: makes the calls.
            whole: rows whose failures are left as they are.
        """
        for row, (text, sample) in list(self._failures.items()):
            if row not in whole:
                self._failures[row] = self._smallest(worker, row, text, sample)
        found = [self._row(row) for row in self._order if self._cases[row] or row in self._failures]
        if not found and self._skips:
            reason = self._skips.most_common(1)[0][0]
            return (self._skipped(reason),)
        return tuple(found)

    def _smallest(
        self, worker: Worker[object, Outcome], row: str, text: str, sample: Sample
    ) -> tuple[str, Sample]:
        texts = {sample: text}
        hung = row == "survives" and self._has_hung
        timeout_s = HANG_TIMEOUT_S if hung else self._plan.timeout_s

        def fails(candidate: Sample) -> bool:
            for problem in self._outcome(worker, candidate, timeout_s).problems:
                if problem.row == row:
                    texts[candidate] = problem.text
                    return True
            return False

        simple = self._simple[sample.dtypes]
        budget = {"budget": HANG_BUDGET} if hung else {}
        smallest = shrink(self._opdef, sample, simple, fails, **budget)
        return texts[smallest], smallest

    def _outcome(
        self, worker: Worker[object, Outcome], sample: Sample, timeout_s: float
    ) -> Outcome:
        try:
            return worker.ask(sample, timeout_s=timeout_s)
        except ProcessEndedError as end:
            self._deaths += 1
            self._has_hung = self._has_hung or end.is_hang
            row = "survives" if "survives" in self._order else self._order[0]
            return Outcome(problems=(Problem(row, str(end)),), rows=(row,))

    def _row(self, row: str) -> CheckRow:
        failure = self._failures.get(row)
        return CheckRow(
            op=self._opdef.name,
            subject=self._subject,
            row=row,
            status="pass" if failure is None else "fail",
            cases=self._cases[row],
            problem="" if failure is None else failure[0],
            example="" if failure is None else failure[1].text(self._opdef),
        )

    def _skipped(self, reason: str) -> CheckRow:
        return CheckRow(
            op=self._opdef.name,
            subject=self._subject,
            row=self._order[0],
            status="skip",
            problem=reason,
        )
