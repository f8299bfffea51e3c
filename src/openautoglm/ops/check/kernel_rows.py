"""The rows of one kernel: every call against the reference, its memory, threads and leaks."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from openautoglm.ops.check.cuda import end_if_broken, is_cuda_started, why_no_cuda
from openautoglm.ops.check.endurance import ask_memory, ask_threads
from openautoglm.ops.check.report import CheckRow
from openautoglm.ops.check.rows import Ledger
from openautoglm.ops.check.sample import Sample
from openautoglm.ops.check.trial import Outcome, Problem, Trial
from openautoglm.ops.check.worker import ProcessEndedError, Worker
from openautoglm.ops.choose import NEEDS_TORCH
from openautoglm.ops.kernel import REFERENCE_NAME
from openautoglm.ops.machine import machine

if TYPE_CHECKING:
    from collections.abc import Sequence

    from openautoglm.ops.check.plan import Plan
    from openautoglm.ops.kernel import Kernel
    from openautoglm.ops.opdef import OpDef
    from openautoglm.ops.table import KernelTable

ROWS: Final = (
    "survives",
    "values",
    "shapes",
    "broadcast",
    "strides",
    "aliasing",
    "optional",
    "lists",
    "attributes",
    "nan",
    "infinity",
    "inputs",
    "bounds",
    "determinism",
    "threads",
    "memory",
)
ENDURED: Final = ("threads", "memory")
"""Rows of many calls, whose example is no single call."""
BUSY: Final = (96, 24, 12, 6, 3)
"""The size of each dimension where calls have to take a while, so that threads meet in them: the
first whose call has no more than `BUSY_ELEMENTS`."""
BUSY_ELEMENTS: Final = 2**17


def kernel_rows(
    table: KernelTable, kernel: Kernel, samples: Sequence[Sample], plan: Plan, *, as_torch: bool
) -> tuple[tuple[CheckRow, ...], bool]:
    """Return the rows of a kernel, and whether it may be called in this process.

    Args:
        table: the operator's kernels.
        kernel: one of them.
        samples: calls for which the reference can be asked.
        plan: what was asked.
        as_torch: whether the reference needs torch's tensors.
    """
    reason = _cannot_run(kernel)
    if reason:
        row = CheckRow(
            op=kernel.op, subject=kernel.name, row=ROWS[0], status="skip", problem=reason
        )
        return (row,), True
    device = "cuda" if kernel.device == "cuda" else "cpu"
    needs_tensors = (
        device == "cuda"
        or kernel.language in NEEDS_TORCH
        or (as_torch and kernel.name == REFERENCE_NAME)
    )
    trial = Trial(
        table=table,
        kernel=kernel,
        tolerances=plan.tolerances,
        as_torch=needs_tensors,
        device=device,
    )
    if device == "cuda":  # the first call of a process starts CUDA, which takes seconds
        plan = replace(plan, profile="full")
    ledger = Ledger(table.opdef, kernel.name, ROWS, plan, samples)
    is_isolated = not (device == "cuda" and is_cuda_started())
    answer = partial(_answer, trial, is_isolated=is_isolated)
    with Worker[object, Outcome](answer, isolated=is_isolated) as worker:
        for sample in samples:
            ledger.ask(worker, sample)
        if not ledger.is_dead:
            _endure(table.opdef, ledger, worker, samples, plan)
        rows = ledger.close(worker, whole=ENDURED)
    return rows, not ledger.has_died


def _cannot_run(kernel: Kernel) -> str:
    if kernel.device == "cuda":
        return why_no_cuda()
    isa = kernel.capability.isa
    return f"this machine has no {isa}" if isa and isa not in machine().isa else ""


def _answer(trial: Trial, question: Any, *, is_isolated: bool) -> Outcome:  # noqa: ANN401 - a sample, or one of many calls
    if isinstance(question, Sample):
        outcome = trial.ask(question)
    else:
        row, sample = question
        ask = {"takes": _takes, "threads": ask_threads, "memory": ask_memory}
        outcome = ask[row](trial, sample)
    if is_isolated and trial.device == "cuda":
        end_if_broken()
    return outcome


def _takes(trial: Trial, sample: Sample) -> Outcome:
    """Say why the kernel does not take a call, where it does not."""
    placed = trial.place(sample)
    return Outcome(skipped="no layout" if placed is None else trial.refusal(sample, placed))


def _endure(
    opdef: OpDef,
    ledger: Ledger,
    worker: Worker[object, Outcome],
    samples: Sequence[Sample],
    plan: Plan,
) -> None:
    """Ask for threads and memory, with a call of the first dtype that the kernel takes."""
    for sample in samples:
        if sample.row != "values":
            continue
        if not worker.ask(("takes", sample), timeout_s=plan.timeout_s).skipped:
            break
    else:
        return
    busy = _busy(sample, opdef)
    for row, one in (("threads", busy), ("memory", sample)):
        if ledger.has_failed("survives") or (row == "threads" and ledger.has_failed("determinism")):
            continue
        try:
            outcome = worker.ask((row, one), timeout_s=plan.timeout_s * 5)
        except ProcessEndedError as end:
            outcome = Outcome(problems=(Problem(row, str(end)),))
        ledger.note(row, outcome, one)


def _busy(sample: Sample, opdef: OpDef) -> Sample:
    for size in BUSY:
        sizes = tuple((symbol, size) for symbol, _ in sample.sizes)
        busy = replace(sample, leading=(size,), sizes=sizes)
        if busy.elements(opdef) <= BUSY_ELEMENTS:
            return busy
    return sample
