"""The rows about an operator in torch: values, gradients, fake, graphs, autocast, vmap.

Runs in this process, after every kernel has survived its own: torch's checkers need the operator as
it is registered here. Each row asks torch's own checker where there is one.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final, TypeAlias

import torch

from openautoglm.errors import TransformUnsupportedError
from openautoglm.ops.check.closeness import NotApplicableError, difference, tuple_of
from openautoglm.ops.check.graphs import Graph
from openautoglm.ops.check.mixed import compare_autocast, compare_autocast_compiled
from openautoglm.ops.check.report import CheckRow
from openautoglm.ops.check.torch_call import TorchCall, public_overload, torch_call
from openautoglm.ops.check.trial import first_line

if TYPE_CHECKING:
    from openautoglm.ops.check.plan import Plan
    from openautoglm.ops.check.report import Status
    from openautoglm.ops.check.sample import Sample
    from openautoglm.ops.registered import RegisteredOperator

Asked: TypeAlias = Callable[[TorchCall], str]
"""Asks one question of a call and returns what is wrong, empty for nothing; raises
`NotApplicableError` where it is none to ask."""

GRADIENT_ROWS: Final = ("values", "attributes", "optional", "broadcast", "lists")
GRADIENT_CASES: Final = {"full": 12, "quick": 4}
SLICES: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class _Question:
    row: str
    ask: Asked
    calls: tuple[TorchCall, ...]


def torch_rows(
    operator: RegisteredOperator, samples: Sequence[Sample], plan: Plan
) -> list[CheckRow]:
    """Return the rows of an operator in torch.

    Args:
        operator: may be used with torch from then on, if it was not yet.
        samples: calls for which the reference can be asked.
        plan: what was asked.
    """
    rows = [_row(operator.name, question) for question in _questions(operator, samples, plan)]
    torch.compiler.reset()
    return rows


def _questions(
    operator: RegisteredOperator, samples: Sequence[Sample], plan: Plan
) -> list[_Question]:
    wide = _calls(operator, samples, "f64", GRADIENT_CASES[plan.profile])
    usual = _calls(operator, samples, "f32", 1) or wide[:1]
    usual = usual or tuple(torch_call(operator, sample) for sample in samples[:1])
    backend = "aot_eager" if plan.profile == "quick" else "inductor"
    asked: list[tuple[str, Asked, tuple[TorchCall, ...]]] = [
        ("opcheck", _opcheck, usual),
        ("vmap", _vmap, usual),
    ]
    if plan.grad:
        asked += [("gradient", _gradcheck, wide), ("second gradient", _gradgradcheck, wide[:3])]
    graph = Graph(call=usual[0], backend=backend)
    asked.append(("compiled", graph.compare, usual))
    if plan.grad:
        asked.append(("compiled gradient", graph.compare_gradients, usual))
    asked.append(("autocast", compare_autocast, usual))
    asked.append(("autocast compiled", partial(compare_autocast_compiled, graph), usual))
    return [_Question(row=row, ask=ask, calls=calls) for row, ask, calls in asked]


def _calls(
    operator: RegisteredOperator, samples: Sequence[Sample], dtype: str, count: int
) -> tuple[TorchCall, ...]:
    """Return the first calls of a dtype, one of each row before a second of any."""
    fitting = [s for s in samples if s.row in GRADIENT_ROWS and s.dtypes and s.dtypes[0] == dtype]
    ordered = sorted(fitting, key=lambda s: [x for x in fitting if x.row == s.row].index(s))
    return tuple(torch_call(operator, sample) for sample in ordered[:count])


def _row(op: str, question: _Question) -> CheckRow:
    status: Status = "pass"
    problem = example = ""
    cases = 0
    for call in question.calls:
        try:
            problem = _asked(question.ask, call)
        except NotApplicableError as reason:
            status, problem = "skip", str(reason)
            break
        cases += 1
        if problem:
            status, example = "fail", call.sample.text(call.operator.opdef)
            break
    if not question.calls:
        status, problem = "skip", "no call that was drawn fits: the operator takes no f64"
    return CheckRow(
        op=op,
        subject="torch",
        row=question.row,
        status=status,
        cases=cases,
        problem=problem,
        example=example,
    )


def _asked(ask: Asked, call: TorchCall) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's advice about its own checkers
        try:
            return ask(call)
        except NotApplicableError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever comes of a call is a finding
            return _told(error)


def _told(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = [line for line in lines if "numerical:" in line or "analytical:" in line]
    more = f": {' '.join(lines[1:3])}"[:300] if len(lines) > 1 and not telling else ""
    return first_line(error) + more


def _gradcheck(call: TorchCall) -> str:
    _need_gradient(call)
    torch.autograd.gradcheck(call, call.fresh(grad=True))
    return ""


def _gradgradcheck(call: TorchCall) -> str:
    _need_gradient(call)
    try:
        torch.autograd.gradgradcheck(call, call.fresh(grad=True))
    except TransformUnsupportedError as refusal:
        raise NotApplicableError(
            f"the gradient has none of its own: {refusal.problem}"
        ) from refusal
    return ""


def _need_gradient(call: TorchCall) -> None:
    if call.operator.opdef.backward is None:
        raise NotApplicableError("the operator has no gradient")
    if not call.has_floats:
        raise NotApplicableError("no input is of floats")


def _opcheck(call: TorchCall) -> str:
    has_gradient = call.operator.opdef.backward is not None
    overload = public_overload(call)
    torch.library.opcheck(overload, call.arguments(call.fresh(grad=has_gradient)))
    return ""


def _vmap(call: TorchCall) -> str:
    if any(part.many for part in call.operator.opdef.inputs):
        raise NotApplicableError("lists of arrays have no batching rule")
    if not call.tensors:
        raise NotApplicableError("there is no input")
    batches = tuple(
        torch.stack([t + i if t.is_floating_point() else t for i in range(SLICES)])
        for t in call.tensors
    )
    got = torch.vmap(call)(*batches)
    for i in range(SLICES):
        problem = difference(
            tuple_of(call(*(batch[i] for batch in batches))), tuple(g[i] for g in tuple_of(got))
        )
        if problem:
            return f"slice {i}: {problem}"
    return ""
