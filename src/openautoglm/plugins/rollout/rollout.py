"""One replacement: stage, prove, decide, give it calls and judge them, promote or roll back.

Owns `Rollout`. Runs in the thread of who asked for it. Knows nothing of the bus and of other
plugins.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, Protocol, final

from openautoglm.errors import OpenAutoGLMError
from openautoglm.plugins.rollout.judge import Verdict
from openautoglm.plugins.rollout.moving import is_stateful, move
from openautoglm.plugins.rollout.outcome import Change, RolloutReport, StepReport
from openautoglm.plugins.rollout.probes import Probes, recorded
from openautoglm.plugins.rollout.routes import Handle
from openautoglm.plugins.rollout.step import Step

if TYPE_CHECKING:
    import threading

    from openautoglm.plugins.host.parties import Loadable
    from openautoglm.plugins.rollout.asks import Asks, Host, Proof
    from openautoglm.plugins.rollout.outcome import Ending
    from openautoglm.plugins.rollout.plan import Canary
    from openautoglm.plugins.rollout.probes import Recorded
    from openautoglm.plugins.rollout.routes import RouteTable
    from openautoglm.plugins.rollout.states import Life
    from openautoglm.plugins.rollout.step import Progress

CLOSING_DRAIN_S: Final = 1.0


class _EndedError(Exception):
    """The replacement is over before its end."""

    def __init__(self, ending: Ending, reason: str) -> None:
        super().__init__(reason)
        self.ending: Ending = ending
        self.reason = reason


class Announce(Protocol):
    """Who is told what happens."""

    def state(self, life: Life, old: str, new: str, reason: str, /) -> None:
        """A version went from one state to another."""

    def step(self, progress: Progress, /) -> None:
        """A step goes on."""


@final
class Rollout:
    """One replacement.

    Args:
        host: where versions run.
        table: the routes of the plugin.
        new: what is to take the place of the stable version.
        life: of the new one; it tells `note` of every change while this runs, and outlives it.
        plan: how.
        asks: who is asked before.
        announce: is told the progress of each step, and what changes of state do not tell.
        wake: set whenever there is something to look at; of this replacement alone.
        closing: set when the host ends.

    Attributes:
        displaced: the version that was ready for the way back until the new one was promoted.
    """

    def __init__(  # noqa: PLR0913 - one replacement, by name
        self,
        host: Host,
        table: RouteTable,
        new: Loadable,
        *,
        life: Life,
        plan: Canary,
        asks: Asks,
        announce: Announce,
        wake: threading.Event,
        closing: threading.Event,
    ) -> None:
        self._host, self._table, self._new = host, table, new
        self._plan, self._asks, self._announce = plan, asks, announce
        self._wake, self._closing = wake, closing
        self._old = table.snapshot.stable
        self._life = life
        self._handle: Handle | None = None
        self.displaced: Handle | None = None
        self._changes: list[Change] = []
        self._steps: list[StepReport] = []
        self._flips: list[float] = []
        self._held_s = 0.0
        self._has_state = is_stateful(self._old.running.manifest) and is_stateful(new.manifest)
        self._has_moved = self._has_handed_over = False
        self._reason = "not worse than the version before" if plan.requests else "at once"
        self._recorded: tuple[Recorded, ...] = ()
        self._began = time.monotonic()
        self._retries = table.retries

    def run(self) -> RolloutReport:
        """Do it, and return what came of it; the errors of plugins are no errors here."""
        ending: Ending = "promoted"
        try:
            handle = self._handle = self._staged()
            self._judged(handle)
            self._promote(handle)
            reason = self._reason
        except _EndedError as ended:
            ending, reason = ended.ending, ended.reason
            self._undo(ended)
        except BaseException as error:
            self._undo(_EndedError("interrupted", f"{type(error).__name__}: {error}"))
            raise
        return RolloutReport(
            plugin=self._table.plugin,
            old=self._old.version,
            new=self._life.version,
            outcome=ending,
            reason=reason,
            steps=tuple(self._steps),
            changes=tuple(self._changes),
            flips_us=tuple(round(seconds * 1e6, 3) for seconds in self._flips),
            held_ms=round(self._held_s * 1e3, 3),
            retries=self._table.retries - self._retries,
            seconds=round(time.monotonic() - self._began, 6),
        )

    def note(self, version: str, old: str, new: str, reason: str) -> None:
        """Write a change of state into the report."""
        at_s = round(time.monotonic() - self._began, 6)
        self._changes.append(Change(version=version, old=old, new=new, reason=reason, at_s=at_s))

    # before it gets calls

    def _staged(self) -> Handle:
        life, new = self._life, self._new
        life.go("verified", "it is another version of the plugin that runs")
        self._recorded = self._read()
        proof = self._proof()
        life.go("validated", "nobody was asked" if proof is None else proof.summary())
        self._refuse_if_closing()
        try:
            running = self._host.start(new, register=False, **self._asks.options)
        except (OpenAutoGLMError, OSError) as error:
            raise _EndedError("rejected", f"it did not start: {_said(error)}") from error
        running.through = self._old.running.through
        handle = self._handle = Handle(running, life)
        life.go("staged", f"it serves beside {self._old.version}")
        self._ask_admission(proof)
        life.go("admitted", "by policy" if self._asks.admit is not None else "nobody was asked")
        return handle

    def _read(self) -> tuple[Recorded, ...]:
        try:
            return recorded(self._old.running.manifest, self._new)
        except OpenAutoGLMError as error:
            raise _EndedError("rejected", _said(error)) from error

    def _proof(self) -> Proof | None:
        if self._asks.validate is None:
            return None
        try:
            proof = self._asks.validate(self._new)
        except Exception as error:
            raise _EndedError("rejected", f"it could not be checked: {_said(error)}") from error
        if proof.ok is not True:
            raise _EndedError("rejected", f"the check found: {proof.summary()}")
        return proof

    def _ask_admission(self, proof: Proof | None) -> None:
        if self._asks.admit is None:
            return
        try:
            decision = self._asks.admit(self._new, proof)
        except Exception as error:
            raise _EndedError("rejected", f"policy did not decide: {_said(error)}") from error
        if decision.allow is not True:
            reasons = "; ".join(map(str, decision.reasons)) or "no reason given"
            raise _EndedError("rejected", f"policy: {reasons}")

    # while it is judged

    def _judged(self, handle: Handle) -> None:
        weights = (100,) if self._has_state else self._plan.weights
        if self._has_state:
            self._move_state(handle)
        elif self._plan.requests == 0 and weights == (100,):
            return
        probes = Probes(self._recorded, self._old, handle)
        for number, weight in enumerate(weights, start=1):
            step = Step(
                self._plan,
                self._old,
                handle,
                number=number,
                steps=len(weights),
                weight=weight,
                probes=probes,
                wake=self._wake,
                watch=self._watch,
                tell=self._announce.step,
            )
            self._take(step, handle, weight)
            if step.was_idle:  # at another weight the same would be asked again
                self._reason = self._steps[-1].reason
                return

    def _take(self, step: Step, handle: Handle, weight: int) -> None:
        if self._life.state == "admitted":
            self._life.go("canary", f"{weight} % of the calls")
        verdict = Verdict(is_bad=True, reason="it was interrupted")
        try:
            with step.counting():
                self._change(canary=handle, weight=weight)
                verdict = step.verdict()
        finally:
            self._steps.append(step.report(verdict))
        if verdict.is_bad:
            raise _EndedError("rolled-back", f"at {weight} %: {verdict.reason}")

    def _watch(self) -> str | None:
        """Return why the new version is dead, if it is."""
        self._refuse_if_closing()
        handle = self._handle
        if handle is None or not handle.is_dead:
            return None
        self._life.go("quarantined", f"its workers are {handle.running.state}")
        return f"it is {handle.running.state}"

    # its end

    def _promote(self, handle: Handle) -> None:
        if self._life.state == "admitted":  # nothing was judged: let it have the calls first
            self._change(canary=handle, weight=100)
        try:
            self._old.running.hand_over(handle.running)
        except Exception as error:
            reason = f"its contributions cannot be registered: {_said(error)}"
            raise _EndedError("rolled-back", reason) from error
        self._has_handed_over = True
        before = self._table.promote(handle, instead_of=self._old)
        if before is None:
            raise _EndedError("rolled-back", f"{self._old.version} died in the meantime")
        self._flips.append(self._table.flips_s[-1])
        self.displaced = before.resident
        self._life.go("active", f"it takes the place of {self._old.version}")
        self._old.life.go("draining", f"{handle.version} serves; ready for a way back")

    def _undo(self, ended: _EndedError) -> None:
        handle, life = self._handle, self._life
        if handle is None:
            life.go("rejected", ended.reason)
            return
        if self._has_handed_over:
            handle.running.hand_over(self._table.snapshot.stable.running)
        if self._has_moved:
            self._move_back(handle)
        if self._table.snapshot.canary is handle:
            self._change(canary=None, weight=0)
        life.go("rejected" if life.state == "staged" else "rolled-back", ended.reason)
        handle.drain(CLOSING_DRAIN_S if self._closing.is_set() else self._plan.drain_s)
        self._host.stop(handle.running)
        if not life.is_over:
            life.go("retired", f"{self._old.version} serves")

    def _move_state(self, handle: Handle) -> None:
        """Move the state while calls wait; the new version gets them when that is over."""
        began, plan = time.monotonic(), self._plan
        with self._table.held():
            try:
                self._quiet()
                move(self._old.running, handle.running, plan.hold_s)
                self._has_moved = True
                self._life.go("canary", "it has the state, and gets all calls")
                self._change(canary=handle, weight=100)
            except _EndedError:
                raise
            except Exception as error:
                reason = f"its state did not move: {_said(error)}"
                raise _EndedError("rolled-back", reason) from error
            finally:
                self._held_s += time.monotonic() - began

    def _quiet(self) -> None:
        """Wait until nothing is under way in the old version."""
        if not self._old.drain(self._plan.hold_s):
            said = f"{self._old.in_flight} calls of {self._old.version} went on"
            reason = f"state cannot move: {said} for {self._plan.hold_s:g} s"
            raise _EndedError("rolled-back", reason)

    def _move_back(self, handle: Handle) -> None:
        """Move what the new version did in the meantime back, or say that this is not possible."""
        began, plan = time.monotonic(), self._plan
        with self._table.held():
            self._change(canary=None, weight=0)
            try:
                handle.drain(plan.hold_s)
                move(handle.running, self._old.running, plan.hold_s)
            except Exception as error:  # noqa: BLE001 - whatever a plugin answers
                lost = "its state goes on from the hand-over; what came later is lost"
                self._announce.state(self._old.life, "active", "active", f"{lost}: {_said(error)}")
                self.note(self._old.version, "active", "active", f"{lost}: {_said(error)}")
        self._held_s += time.monotonic() - began

    def _change(self, **fields: object) -> None:
        self._table.change(**fields)
        self._flips.append(self._table.flips_s[-1])

    def _refuse_if_closing(self) -> None:
        if self._closing.is_set():
            raise _EndedError("interrupted", "the host is being closed")


def _said(error: BaseException) -> str:
    if not isinstance(error, OpenAutoGLMError):
        return f"{type(error).__name__}: {error}"
    return error.problem if error.got is None else f"{error.problem} ({error.got})"
