"""The rows about the contract: does the reference give the shapes and dtypes that it promises.

Owns what is asked of the reference itself. What it computes is the truth all else is compared with;
whether that is what its author meant, nobody can check.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from openautoglm.ops import arrays
from openautoglm.ops.call import infer_outputs
from openautoglm.ops.check import oracle
from openautoglm.ops.check.memory import NUMPY_LACKS, place_dense
from openautoglm.ops.check.oracle import reference_of
from openautoglm.ops.check.report import CheckRow
from openautoglm.ops.check.rows import Ledger
from openautoglm.ops.check.trial import Outcome, Problem, first_line, reading
from openautoglm.ops.check.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Sequence

    from openautoglm.ops.arguments import ArraySpec
    from openautoglm.ops.check.plan import Plan
    from openautoglm.ops.check.sample import Sample
    from openautoglm.ops.opdef import OpDef

SUBJECT: Final = "contract"
ROWS: Final = ("reference", "shape", "dtype")


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What came of the contract's rows.

    Attributes:
        rows: to report.
        good: calls for which the reference can be asked.
        as_torch: the reference is written for torch's tensors only.
    """

    rows: tuple[CheckRow, ...]
    good: tuple[Sample, ...]
    as_torch: bool = False


def contract_rows(opdef: OpDef, samples: Sequence[Sample], plan: Plan) -> Judged:
    """Ask the reference for every call, in a process of its own."""
    if not samples:
        problem = "the contract takes no call that was drawn: shapes as symbols would tell"
        return Judged(rows=(_row(opdef, "samples", "fail", problem),), good=())
    if opdef.reference is None:
        problem = "there is no reference to compare with"
        return Judged(rows=(_row(opdef, "reference", "skip", problem),), good=tuple(samples))
    as_torch = _is_for_torch(opdef, samples[0])
    ledger = Ledger(opdef, SUBJECT, ROWS, plan, samples)
    with Worker[object, Outcome](lambda sample: _ask(opdef, sample, as_torch=as_torch)) as worker:
        good = tuple(sample for sample in samples if ledger.ask(worker, sample))
        rows = ledger.close(worker)
    return Judged(rows=rows, good=good, as_torch=as_torch)


def _row(opdef: OpDef, row: str, status: str, problem: str) -> CheckRow:
    found = "fail" if status == "fail" else "skip"
    return CheckRow(op=opdef.name, subject=SUBJECT, row=row, status=found, problem=problem)  # type: ignore[arg-type]  # one of the two


def _is_for_torch(opdef: OpDef, sample: Sample) -> bool:
    """Return whether the reference takes torch's tensors only."""
    if "torch" not in sys.modules:
        return False
    try:
        _call(opdef, sample, as_torch=False)
    except Exception:  # noqa: BLE001 - then torch is tried, and its error is the one reported
        return True
    return False


def _ask(opdef: OpDef, sample: Any, *, as_torch: bool) -> Outcome:  # noqa: ANN401 - a `Sample`
    try:
        results = _call(opdef, sample, as_torch=as_torch)
        wide = oracle.expected(opdef, _wide(opdef, sample), sample.attrs)
    except Exception as error:  # noqa: BLE001 - whatever a reference raises is a finding
        return Outcome(problems=(Problem("reference", first_line(error)),), rows=("reference",))
    specs = infer_outputs(opdef, sample.specs(opdef), sample.attrs)
    if not len(results) == len(wide) == len(specs):
        text = f"it returns {len(results)} arrays, the contract says {len(specs)}"
        return Outcome(problems=(Problem("reference", text),), rows=("reference",))
    problems = []
    for out, spec, result in zip(opdef.outputs, specs, results, strict=True):
        problems += _compare(out.name, spec, result)
    return Outcome(problems=tuple(problems), rows=ROWS)


def _compare(name: str, spec: ArraySpec, result: object) -> list[Problem]:
    found = []
    shape = tuple(getattr(result, "shape", ()))
    if shape != spec.shape:
        text = f"`{name}` has shape {shape}, the contract says {spec.shape}"
        found.append(Problem("shape", text))
    dtype = getattr(result, "dtype", None)
    if dtype is not None:
        actual = arrays.torch_name(dtype)  # NumPy's names are the same
        if actual != spec.dtype:
            text = f"`{name}` has dtype {actual or dtype}, the contract says {spec.dtype}"
            found.append(Problem("dtype", text))
    return found


def _call(opdef: OpDef, sample: Sample, *, as_torch: bool) -> tuple[object, ...]:
    """Return what the reference gives for arrays of the sample's own dtypes."""
    is_tensor = as_torch or any(dtype in NUMPY_LACKS for dtype in sample.dtypes)
    inputs = [_dense(value, d, as_torch=is_tensor) for value, d in _drawn(opdef, sample)]
    with np.errstate(all="ignore"):
        result = reference_of(opdef)(*inputs, *sample.attrs)
    return result if isinstance(result, tuple) else (result,)


def _drawn(opdef: OpDef, sample: Sample) -> list[tuple[oracle.Value, str]]:
    return list(zip(oracle.draw(opdef, sample), sample.dtypes, strict=True))


def _dense(value: oracle.Value, dtype: str, *, as_torch: bool) -> object:
    if isinstance(value, list):
        return [_dense(one, dtype, as_torch=as_torch) for one in value]
    return None if value is None else place_dense(value, dtype, as_torch=as_torch).array


def _wide(opdef: OpDef, sample: Sample) -> list[object]:
    return [reading(_dense(v, d, as_torch=False)) for v, d in _drawn(opdef, sample)]
