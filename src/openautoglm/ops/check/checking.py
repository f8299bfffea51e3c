"""One check from the beginning to the end: targets, the contract, kernels, torch.

torch is looked for where it is installed; without it the rows that need it say so.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

from openautoglm.errors import UnknownNameError
from openautoglm.ops.check.contract_rows import contract_rows
from openautoglm.ops.check.kernel_rows import kernel_rows
from openautoglm.ops.check.memory import NUMPY_LACKS
from openautoglm.ops.check.report import CheckReport, CheckRow
from openautoglm.ops.check.sampler import Sampler
from openautoglm.ops.check.target import targets
from openautoglm.ops.loading import load_library

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from openautoglm.ops.check.plan import Plan
    from openautoglm.ops.check.target import Loader, Target
    from openautoglm.ops.kernel import Kernel
    from openautoglm.ops.registered import RegisteredOperator


def run_check(
    op: RegisteredOperator | str | Path, plan: Plan, load: Loader = load_library
) -> CheckReport:
    """Check an operator, or what a path brings; see `check`.

    Args:
        op: what to check.
        plan: what to ask.
        load: builds and loads a folder of sources, or loads a library.
    """
    with targets(op, load) as found:
        rows = [row for target in found for row in _rows(target, plan)]
    name = getattr(op, "name", None) if not isinstance(op, str) else op
    return CheckReport(
        target=str(name or op), profile=plan.profile, seed=plan.seed, rows=tuple(rows)
    )


def _rows(target: Target, plan: Plan) -> list[CheckRow]:
    """Return the rows of one operator: the contract's, each kernel's, torch's."""
    has_torch = plan.torch and find_spec("torch") is not None
    if has_torch:
        import_module("torch")
    opdef = target.operator.opdef
    dtypes = _dtypes(opdef.inputs[0].dtypes if opdef.inputs else (), plan, has_torch=has_torch)
    sampler = Sampler(opdef=opdef, dtypes=dtypes, seed=plan.seed, profile=plan.profile)
    judged = contract_rows(opdef, sampler.samples(), plan)
    rows = list(judged.rows)
    is_safe = bool(judged.good)
    for kernel in _chosen(target, plan):
        made, survived = kernel_rows(
            target.operator.table, kernel, judged.good, plan, as_torch=judged.as_torch
        )
        rows += made
        is_safe = is_safe and survived
    if not has_torch:
        reason = "torch is not installed" if plan.torch else "not asked"
        return [*rows, _skip(opdef.name, reason)]
    if not is_safe:
        return [*rows, _skip(opdef.name, "not called in this process, because of what failed")]
    from openautoglm.ops.check.torch_rows import torch_rows

    return [*rows, *torch_rows(target.operator, judged.good, plan)]


def _dtypes(taken: Sequence[str], plan: Plan, *, has_torch: bool) -> tuple[str, ...]:
    """Return the dtypes to check, the widest first, in which failures are plainest."""
    order = ("f32", "f64", "f16", "bf16")
    wanted = [d for d in taken if not plan.dtypes or d in plan.dtypes]
    possible = [d for d in wanted if has_torch or d not in NUMPY_LACKS]
    return tuple(sorted(possible, key=lambda d: order.index(d) if d in order else len(order)))


def _chosen(target: Target, plan: Plan) -> tuple[Kernel, ...]:
    if not plan.kernels:
        return target.kernels
    known = {name for k in target.kernels for name in (k.name, k.library) if name}
    unknown = [name for name in plan.kernels if name not in known]
    if unknown:
        raise UnknownNameError(
            f"operator `{target.operator.name}` has no kernel `{unknown[0]}`",
            got=f"kernels and libraries: {', '.join(sorted(known))}",
            fix="name one of these",
        )
    return tuple(k for k in target.kernels if k.name in plan.kernels or k.library in plan.kernels)


def _skip(op: str, reason: str) -> CheckRow:
    return CheckRow(op=op, subject="torch", row="torch", status="skip", problem=reason)
