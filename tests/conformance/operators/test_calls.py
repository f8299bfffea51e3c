"""Calls on torch's tensors: what goes in, which kernel runs, how errors come back."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from openautoglm import ops
from openautoglm.errors import (
    KernelFailedError,
    NoKernelError,
    OperatorArgumentError,
)
from openautoglm.ops.torch_bridge import slots

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from openautoglm.ops.registered import RegisteredOperator

    Define = Callable[..., RegisteredOperator]

ADD = "sum_of(Tensor x, Tensor y) -> Tensor"


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    torch._dynamo.reset()
    made: Callable[..., Any] = torch.compile(function, backend="eager", fullgraph=True)
    return made


def test_a_native_kernel_serves_views_as_they_are(loaded: ops.LoadedLibrary) -> None:
    del loaded
    tagged, base = ops.get("tagged"), torch.arange(24.0).reshape(4, 6)
    views = [base, base.T, base[1:, ::2], base[0].expand(3, 6), base[:0], torch.tensor(2.0)]
    for view in views:
        out = tagged(view, scale=2.0)
        assert torch.equal(out, view * 2 + 1)
        assert out.is_contiguous()
        assert not tagged.explain(view).copies


def test_a_strided_kernel_is_given_the_memory_of_the_view_itself(define: Define) -> None:
    op, seen = define("look_at(Tensor x) -> Tensor"), []

    @op.kernel("looks", language="torch")
    def looks(x: torch.Tensor, *, out: torch.Tensor) -> None:
        seen.append((x.data_ptr(), x.stride()))
        out.copy_(x)

    view = torch.arange(24.0).reshape(4, 6).T[::2]
    assert torch.equal(op(view), view)
    assert seen == [(view.data_ptr(), view.stride())]


def test_a_contiguous_kernel_is_given_a_copy_of_a_view_only(define: Define) -> None:
    op, seen = define("dense_copy(Tensor x) -> Tensor"), []

    @op.kernel("dense", language="torch", contiguous=True)
    def dense(x: torch.Tensor, *, out: torch.Tensor) -> None:
        seen.append((x.is_contiguous(), x.data_ptr()))
        out.copy_(x)

    base = torch.arange(6.0).reshape(2, 3)
    op(base)
    assert torch.equal(op(base.T), base.T)
    assert seen[0] == (True, base.data_ptr())
    assert seen[1][0]
    assert op.explain(base.T).copies
    assert not op.explain(base).copies


def test_attributes_of_every_type_and_absent_inputs_arrive(define: Define) -> None:
    def reference(x: Tensor, b: Tensor, mode: str, n: int, flag: bool, by: float) -> Tensor:  # noqa: FBT001 - attributes come by position
        return x * n + by + (0 if b is None else b) + {"é": 10, "": 0}[mode] + 100 * flag

    inputs = "Tensor x[...], Tensor? b[...]"
    attrs = 'str mode="", int n=2, bool flag=False, float by=0.5'
    op = define(f"typed({inputs}, {attrs}) -> Tensor y[...]", reference=reference)
    one = torch.ones(1)
    run = compiled(lambda x, b: op(x, b, "é", 3, True, 0.25))
    assert op(one).item() == 2.5
    assert op(one, one).item() == 3.5
    assert op(one, mode="é", flag=True).item() == 112.5
    assert op(one, None, "", -(2**40), False, 0.0).item() == -(2.0**40)
    assert run(one, None).item() == 113.25
    assert run(one, one).item() == 114.25


def test_lists_of_tensors_of_one_dtype_are_one_argument(define: Define) -> None:
    op = define("total(Tensor[] xs) -> Tensor", reference=lambda xs: sum(xs[1:], xs[0]))
    x = torch.ones(2)
    assert op([x, x, x]).tolist() == [3.0, 3.0]
    assert op((x,)).tolist() == [1.0, 1.0]
    assert compiled(lambda a, b: op([a, b]))(x, x).tolist() == [2.0, 2.0]
    for wrong in ([], [x, x.double()], x, [x, None]):
        with pytest.raises(OperatorArgumentError, match="xs"):
            op(wrong)


def test_scalars_empty_tensors_and_many_dimensions_are_tensors_too(
    copy_of: Callable[[str], RegisteredOperator],
) -> None:
    add = copy_of("add")
    assert add(torch.tensor(1.0), torch.tensor(2.0)).shape == ()
    assert add(torch.ones(0, 3), torch.ones(3)).shape == (0, 3)
    deep = torch.ones([1] * 20)
    assert add(deep, deep).shape == deep.shape


def test_parameters_subclasses_and_negated_views_give_right_results(
    copy_of: Callable[[str], RegisteredOperator],
) -> None:
    class Marked(torch.Tensor):  # type: ignore[misc] # torch has no types here
        pass

    add, x = copy_of("add"), torch.ones(3)
    assert torch.equal(add(torch.nn.Parameter(x), x).detach(), x + x)
    assert type(add(x.as_subclass(Marked), x)) is Marked
    negated = torch.tensor([1 + 2j, 3 - 4j]).conj().imag
    assert negated.is_neg()
    assert add(negated, negated).tolist() == [-4.0, 8.0]


def test_arrays_of_numpy_beside_tensors_are_taken_without_a_copy_where_torch_can(
    copy_of: Callable[[str], RegisteredOperator],
) -> None:
    add, x = copy_of("add"), torch.ones(2, 3)
    locked = np.ones((2, 3), "f4")
    locked.flags.writeable = False
    backwards = np.arange(6, dtype="f4").reshape(2, 3)[::-1, ::-1]  # torch would end the process
    assert torch.equal(add(x, locked), x + 1)
    assert torch.equal(add(backwards, x), torch.tensor(backwards.copy()) + 1)


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        ((torch.ones(2, dtype=torch.int32),) * 2, "`x` of `sum_of`: expected dtype f16"),
        ((torch.ones(2), torch.ones(2).double()), "`y` of `sum_of`: expected dtype f32"),
        ((torch.ones(2), torch.ones(3)), "`y` of `sum_of`: expected a shape that broadcasts"),
        ((torch.ones(2),), "`y` of `sum_of`: expected an array, got nothing"),
        ((torch.ones(2), 1.0), "`y`: expected an array, got float"),
        ((torch.ones(2), torch.ones(2, dtype=torch.cfloat)), "no operator takes arrays of dtype"),
        ((torch.ones(2), torch.ones(2, device="meta")), "expected an array on cpu"),
        ((torch.ones(2).to_sparse(), torch.ones(2)), "takes dense tensors"),
    ],
)
def test_a_wrong_argument_is_named_with_what_was_expected(
    define: Define, arguments: tuple[Any, ...], names: str
) -> None:
    op = define(ADD, reference=lambda x, y: x + y)
    with pytest.raises(OperatorArgumentError) as caught:
        op(*arguments)
    assert names in str(caught.value)
    assert caught.value.fix


def test_what_a_native_kernel_refuses_is_our_error_with_what_it_got(
    loaded: ops.LoadedLibrary,
) -> None:
    del loaded
    tagged = ops.get("tagged")
    for x in (torch.ones(7), torch.ones(7, requires_grad=True), np.ones(7, "f4")):
        with pytest.raises(OperatorArgumentError, match="seven elements") as caught:
            tagged(x)
        assert caught.value.got == "7"
    assert tagged(torch.ones(6)).sum() == 12


def test_a_kernel_that_raises_is_named_and_its_error_is_the_cause(define: Define) -> None:
    op = define("divide(Tensor x) -> Tensor")

    @op.kernel("by_zero")
    def by_zero(x: object, *, out: object) -> None:
        del x, out
        _ = 1 / 0

    with pytest.raises(KernelFailedError, match=r"kernel `by_zero` of `divide`") as caught:
        op(torch.ones(2))
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_in_a_graph_an_error_keeps_its_text_and_leaves_nothing_behind(define: Define) -> None:
    op = define("fails_in_graph(Tensor x) -> Tensor")
    other = define(ADD, reference=lambda x, y: x + y)

    @op.kernel("broken")
    def broken(x: object, *, out: object) -> None:
        del x, out
        raise LookupError("lost")

    with pytest.raises(Exception, match=r"\[OAG204\] kernel `broken`.*\n.*LookupError: lost"):
        compiled(op)(torch.ones(2))
    with pytest.raises(RuntimeError, match="something else"):
        slots.raise_pending(RuntimeError("something else"))
    assert other(torch.ones(1), torch.ones(1)).item() == 2.0


def test_ctrl_c_in_a_kernel_is_ctrl_c(define: Define) -> None:
    def reference(x: object) -> object:
        del x
        raise KeyboardInterrupt

    op = define("interrupted(Tensor x) -> Tensor", reference=reference)
    with pytest.raises(KeyboardInterrupt):
        op(torch.ones(1))


def test_an_operator_without_a_kernel_for_the_call_says_why_each_refused(
    loaded: ops.LoadedLibrary,
) -> None:
    del loaded
    with pytest.raises(NoKernelError, match="f64 on cpu") as caught:
        ops.get("tagged")(torch.ones(2, dtype=torch.float64))
    assert "takes f32, x is f64" in str(caught.value.got)


def test_a_preferred_kernel_serves_eager_and_compiled_calls_of_this_thread_only(
    define: Define,
) -> None:
    op = define("which(Tensor x) -> Tensor", reference=lambda x: x)
    results: list[float] = []
    for priority, name in enumerate(("one", "two"), start=1):
        op.kernel(name, priority=priority)(lambda x, *, out, n=priority: out.copy_(x + n))
    x, graph = torch.zeros(1), compiled(op)
    assert (op(x).item(), graph(x).item()) == (2.0, 2.0)
    with op.prefer("one"):
        assert (op(x).item(), graph(x).item()) == (1.0, 1.0)
        with op.prefer("reference"):
            assert (op(x).item(), graph(x).item()) == (0.0, 0.0)
        thread = threading.Thread(target=lambda: results.append(op(x).item()))
        thread.start()
        thread.join()
        assert op(x).item() == 1.0
    assert results == [2.0]
    assert (op(x).item(), graph(x).item()) == (2.0, 2.0)


def test_a_preference_reaches_native_kernels_and_the_standing_one_gives_way(
    loaded: ops.LoadedLibrary,
) -> None:
    del loaded
    tagged, x = ops.get("tagged"), torch.zeros(1)
    tagged.kernel("python", priority=9)(lambda x, scale, *, out: out.copy_(x * scale - 1))
    graph = compiled(tagged)
    assert (tagged(x).item(), graph(x).item()) == (-1.0, -1.0)
    with tagged.prefer("tagged"):
        assert (tagged(x).item(), graph(x).item()) == (1.0, 1.0)
    tagged.table.stand("tagged")
    assert (tagged(x).item(), graph(x).item()) == (1.0, 1.0)
    with tagged.prefer("python"):
        assert (tagged(x).item(), graph(x).item()) == (-1.0, -1.0)
    tagged.table.stand()
    assert (tagged(x).item(), graph(x).item()) == (-1.0, -1.0)


def test_a_predicate_is_asked_in_every_call(loaded: ops.LoadedLibrary) -> None:
    del loaded
    tagged = ops.get("tagged")
    big = tagged.kernel("big", priority=9, when=lambda x, scale: x.numel() > 2 and scale > 0)
    big(lambda *_, out: out.fill_(-7))
    graph = compiled(tagged)
    for run in (tagged, graph):
        assert run(torch.zeros(2)).tolist() == [1.0, 1.0]
        assert run(torch.zeros(3)).tolist() == [-7.0] * 3
        assert run(torch.zeros(3), scale=-1.0).tolist() == [1.0] * 3
    refusals = dict(tagged.explain(torch.zeros(2)).refusals)
    assert refusals == {"big": "predicate said no"}


def test_counts_are_of_native_and_of_python_calls(loaded: ops.LoadedLibrary) -> None:
    del loaded
    tagged = ops.get("tagged")
    tagged.kernel("rare")(lambda *_, out: out.fill_(0))
    for _ in range(5):
        tagged(torch.ones(1))
    tagged(np.ones(1, "f4"))
    with tagged.prefer("rare"):
        tagged(torch.ones(1))
    assert tagged.counts() == {"tagged": 6, "rare": 1}


def test_a_python_kernel_may_call_operators(define: Define) -> None:
    inner = define(ADD, reference=lambda x, y: x + y)
    outer = define("twice_of(Tensor x) -> Tensor", reference=lambda x: inner(x, x))
    assert outer(torch.ones(2)).tolist() == [2.0, 2.0]
    assert compiled(outer)(torch.ones(2)).tolist() == [2.0, 2.0]


def test_several_threads_may_make_the_first_calls(define: Define) -> None:
    op = define("shared(Tensor x) -> Tensor", reference=lambda x: x + 1)
    start, results = threading.Barrier(4), []

    def call() -> None:
        start.wait()
        results.append(op(torch.ones(2)).sum().item())

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [4.0] * 4
    made = [name for name in slots._taken if name == "shared" or name.startswith("shared_")]
    assert len(made) <= 3  # one a side
