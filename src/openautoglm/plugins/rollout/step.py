"""One step of a rollout: both versions are counted until there are enough answers, and judged.

Owns `Step` and `Progress`. Who calls sets the weight; this waits, tells what it waits for, and asks
recorded requests where nobody calls. Knows nothing of routes.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final, final

from openautoglm.plugins.rollout.judge import (
    FIRST_LOOK,
    Limits,
    Verdict,
    judge,
    level,
    looks,
    needed_beside,
    p95,
)
from openautoglm.plugins.rollout.outcome import StepReport
from openautoglm.plugins.rollout.routes import Arm

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator

    from openautoglm.plugins.rollout.judge import Counted
    from openautoglm.plugins.rollout.plan import Canary
    from openautoglm.plugins.rollout.probes import Probes
    from openautoglm.plugins.rollout.routes import Handle

WATCH_S: Final = 0.05
"""How often the state of a version is looked at that gets no answer."""
TELL_S: Final = 1.0
"""How often who waits is told what for."""
_WHOLE: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where a replacement is while it waits for answers.

    Attributes:
        plugin: its id.
        old: the version that serves.
        new: the one that is judged.
        step: number of the step, from 1.
        steps: how many there are.
        weight: percent of the calls for the new version.
        answers: of the new version in this step, errors among them.
        wanted: answers until it is judged next.
        stable_answers: of the version that serves.
        stable_wanted: see `wanted`.
        recorded: recorded requests that were made of each version, since nobody called.
        waits_for: what comes next, in words.
        seconds: since the step began.
    """

    plugin: str
    old: str
    new: str
    step: int
    steps: int
    weight: int
    answers: int
    wanted: int
    stable_answers: int
    stable_wanted: int
    recorded: int
    waits_for: str
    seconds: float

    def to_event(self) -> dict[str, object]:
        """Return it as the payload of a message."""
        return asdict(self)

    def __str__(self) -> str:
        counted = f"{self.answers} of {self.wanted} answers of {self.new}"
        if self.stable_wanted:
            counted += f", {self.stable_answers} of {self.stable_wanted} of {self.old}"
        where = f"step {self.step} of {self.steps}, {self.weight} %"
        return f"{where}: {counted}; waits for {self.waits_for}"


@final
class Step:
    """A step.

    Args:
        plan: of the rollout.
        old: the version that serves.
        new: the one that is judged.
        number: of this step, from 1.
        weight: percent of the calls for the new version.
        probes: recorded requests, for when nobody calls.
        wake: set whenever there is something to look at.
        watch: raises where the rollout is to end; returns why the new version is dead, if it is.
        tell: is told the progress.

    Attributes:
        was_idle: nobody called, so that recorded requests or the plan decided.
    """

    def __init__(  # noqa: PLR0913 - one step, by name
        self,
        plan: Canary,
        old: Handle,
        new: Handle,
        *,
        number: int,
        weight: int,
        steps: int,
        probes: Probes,
        wake: threading.Event,
        watch: Callable[[], str | None],
        tell: Callable[[Progress], None],
    ) -> None:
        self._plan, self._old, self._new = plan, old, new
        self._number, self._weight, self._steps = number, weight, steps
        self._probes, self._wake, self._watch, self._tell = probes, wake, watch, tell
        self._beside, self._own = Arm(wake.set), Arm(wake.set)
        self._before = old.recent_seconds
        self._began = self._called = time.monotonic()
        self._told = 0.0
        self._live = 0
        self._asked = probes.made  # before this step
        self._is_cut = False
        self.was_idle = False

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Count answers inside the block."""
        self._old.arm, self._new.arm = self._beside, self._own
        try:
            yield
        finally:
            self._old.arm = self._new.arm = None

    def report(self, verdict: Verdict) -> StepReport:
        """Return what was counted."""
        counted, stable = self._own.counted, self._beside.counted
        return StepReport(
            weight=self._weight,
            requests=counted.requests,
            errors=counted.errors,
            p95_ms=_ms(counted),
            stable_requests=stable.requests,
            stable_errors=stable.errors,
            stable_p95_ms=_ms(stable),
            recorded=self._recorded,
            seconds=round(time.monotonic() - self._began, 6),
            passed=not verdict.is_bad,
            reason=verdict.reason,
        )

    @property
    def _recorded(self) -> int:
        return self._probes.made - self._asked

    @property
    def _has_beside(self) -> bool:
        """Whether something answers beside the new version, to compare times with."""
        return self._weight < _WHOLE or self._recorded > 0

    def verdict(self) -> Verdict:
        """Judge at each look and at the end."""
        plan = self._plan
        limits = Limits(
            max_error_rate=plan.max_error_rate,
            p95_ratio=plan.p95_ratio,
            p95_slack_s=plan.p95_slack_s,
        )
        all_looks, alpha = looks(plan.requests), plan.alpha / self._steps
        verdict = Verdict(is_bad=False, reason="nothing was asked")
        for number, wanted in enumerate(all_looks):
            at = level(number, len(all_looks), alpha)
            is_last = wanted == all_looks[-1]
            self._own.wanted = wanted
            enough = needed_beside(at) if is_last and wanted else 0
            found = self._awaited(enough, plan.step_s if is_last else 0.0)
            if found is not None:
                return found
            stable = self._beside.counted if self._has_beside else self._old.recent
            verdict = judge(self._own.counted, stable, limits, at, before=self._before)
            if verdict.is_bad or self._is_cut:
                break
        if self.was_idle and self._recorded:
            reason = f"of {self._recorded} recorded requests {verdict.reason}"
            return Verdict(is_bad=verdict.is_bad, reason=reason)
        return verdict

    def _awaited(self, enough: int, at_least_s: float) -> Verdict | None:
        """Wait for answers; return a verdict where that is decided without them."""
        own, beside = self._own, self._beside
        while True:
            beside.wanted = enough if self._has_beside else 0
            is_enough = own.requests >= own.wanted and beside.requests >= beside.wanted
            if is_enough and self._taken_s >= at_least_s:
                return None
            dead = self._watch()
            if dead is not None:
                return Verdict(is_bad=True, reason=dead)
            if self._is_out_of_time:
                return self._too_few()
            self._note_calls()
            self._report_progress()
            if not is_enough and self._idle_s >= self._plan.idle_s:
                found = self._without_calls()
                if found is not None:
                    return found
                if self._probes:
                    continue
            self._wake.wait(WATCH_S)
            self._wake.clear()

    def _without_calls(self) -> Verdict | None:
        """Do what there is to do where nobody calls; return a verdict where that is the plan's."""
        if self._probes:
            self.was_idle = True
            self._probes.ask()
            return None
        said = f"no calls came in {self._plan.idle_s:g} s, and no requests are recorded"
        match self._plan.on_idle:
            case "promote":
                self.was_idle = True
                return Verdict(is_bad=False, reason=f'{said}: on_idle = "promote"')
            case "abort":
                return Verdict(is_bad=True, reason=f'{said}: on_idle = "abort"')
            case "wait":
                return None

    def _too_few(self) -> Verdict | None:
        """Return the verdict at the end of patience; None: recorded requests are judged as is."""
        own, beside = self._own, self._beside
        if self._recorded and self._probes.were_all_made and own.requests >= FIRST_LOOK:
            self._is_cut = True
            return None
        said = f"{own.requests} of {own.wanted} answers"
        said += f", {beside.requests} of {beside.wanted} beside"
        reason = f"too few to judge in {self._plan.patience_s:g} s: {said}"
        return Verdict(is_bad=True, reason=reason)

    @property
    def _taken_s(self) -> float:
        return time.monotonic() - self._began

    @property
    def _is_out_of_time(self) -> bool:
        return self._taken_s > self._plan.patience_s

    @property
    def _idle_s(self) -> float:
        """Since a call was under way, or an answer came that nobody here asked for."""
        return time.monotonic() - self._called

    def _note_calls(self) -> None:
        live = self._own.requests + self._beside.requests - 2 * self._recorded
        if live != self._live or self._old.in_flight or self._new.in_flight:
            self._live, self._called, self.was_idle = live, time.monotonic(), False

    def _report_progress(self) -> None:
        now = time.monotonic()
        if now - self._told < TELL_S:
            return
        self._told = now
        self._tell(
            Progress(
                plugin=self._new.running.manifest.id,
                old=self._old.version,
                new=self._new.version,
                step=self._number,
                steps=self._steps,
                weight=self._weight,
                answers=self._own.requests,
                wanted=self._own.wanted,
                stable_answers=self._beside.requests,
                stable_wanted=self._beside.wanted,
                recorded=self._recorded,
                waits_for=self._waits_for(),
                seconds=round(self._taken_s, 3),
            )
        )

    def _waits_for(self) -> str:
        if self.was_idle:
            return "answers to recorded requests"
        under_way = self._old.in_flight + self._new.in_flight
        if under_way:
            return f"calls; {under_way} are under way"
        if self._plan.on_idle == "wait" and not self._probes:
            left_s = max(0.0, self._plan.patience_s - self._taken_s)
            return f"calls, {left_s:.0f} s more"
        left_s = max(0.0, self._plan.idle_s - self._idle_s)
        then = "recorded requests are made" if self._probes else f"it is {self._plan.on_idle}"
        return f"calls; none for {self._idle_s:.0f} s, {then} in {left_s:.0f} s"


def _ms(counted: Counted) -> float | None:
    seconds = p95(counted.seconds)
    return None if seconds is None else round(seconds * 1e3, 3)
