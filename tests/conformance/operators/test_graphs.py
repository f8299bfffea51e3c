"""Operators as torch's tools see them: fake, in graphs, exported, cast, replaced."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch._subclasses import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils._python_dispatch import TorchDispatchMode

from openautoglm import ops
from openautoglm.ops.precision import override

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from openautoglm.ops.registered import RegisteredOperator

    Define = Callable[..., RegisteredOperator]
    CopyOf = Callable[[str], RegisteredOperator]


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    torch._dynamo.reset()
    made: Callable[..., Any] = torch.compile(function, backend="eager", fullgraph=True)
    return made


def test_fake_and_meta_tensors_get_outputs_without_a_kernel(define: Define) -> None:
    op = define("ghost(Tensor x[..., n], Tensor w[n]) -> Tensor y[..., n]")
    with FakeTensorMode():
        out = op(torch.empty(3, 4, dtype=torch.bfloat16), torch.empty(4, dtype=torch.bfloat16))
        assert (out.shape, out.dtype, out.device.type) == ((3, 4), torch.bfloat16, "cpu")
    meta = op(torch.empty(2, 4, device="meta"), torch.empty(4, device="meta"))
    assert (meta.shape, meta.device.type) == ((2, 4), "meta")
    assert op.counts() == {}


def test_a_dispatch_mode_sees_the_operator(copy_of: CopyOf) -> None:
    class Recorder(TorchDispatchMode):  # type: ignore[misc] # torch has no types here
        seen: tuple[str, ...] = ()

        def __torch_dispatch__(
            self,
            func: torch._ops.OpOverload,
            types: object,
            args: tuple[object, ...] = (),
            kwargs: dict[str, object] | None = None,
        ) -> object:
            del types
            self.seen += (func.name(),)
            return func(*args, **(kwargs or {}))

    add, x = copy_of("add"), torch.ones(2)
    with Recorder() as recorder:
        add(x, x)
    assert any(name.startswith("oag::_add") for name in recorder.seen)


def test_the_profiler_shows_the_name(copy_of: CopyOf) -> None:
    add, x = copy_of("add"), torch.ones(2)
    add(x, x)
    with torch.profiler.profile() as profile:
        add(x, x)
    assert any(event.key.startswith("oag::_add") for event in profile.key_averages())


def test_make_fx_and_export_keep_the_operator_whole(copy_of: CopyOf) -> None:
    norm = copy_of("rms_norm")

    class Model(torch.nn.Module):  # type: ignore[misc] # torch has no types here
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(4))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return norm(x, self.weight)

    x = torch.randn(3, 4)
    traced = make_fx(norm, tracing_mode="symbolic")(x)
    assert "torch.ops.oag." in traced.code
    torch.testing.assert_close(traced(x), norm(x))
    rows = torch.export.Dim("rows")
    exported = torch.export.export(Model(), (x,), dynamic_shapes={"x": {0: rows}})
    assert "torch.ops.oag.rms_norm" in exported.graph_module.code
    more = torch.randn(7, 4)
    torch.testing.assert_close(exported.module()(more), norm(more))


def test_opcheck_finds_nothing(copy_of: CopyOf, public_of: Callable[..., Any]) -> None:
    public = public_of(copy_of("rms_norm"), torch.ones(2, 4))
    sample = (torch.randn(2, 4, requires_grad=True), torch.randn(4, requires_grad=True))
    found = torch.library.opcheck(public, sample)
    assert set(found.values()) == {"SUCCESS"}
    assert len(found) == 4


def test_a_first_call_may_be_a_compiled_one_and_sizes_may_change(define: Define) -> None:
    op = define("fresh(Tensor x, float by=2.0) -> Tensor", reference=lambda x, by: x * by)
    run = compiled(lambda x: op(x) + op(x, by=3.0))
    for size in (2, 3, 4, 5):
        assert torch.equal(run(torch.ones(size)), torch.full((size,), 5.0))


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("lower", torch.bfloat16),
        ("fp32", torch.float32),
        ("promote", torch.float32),
        ("keep", torch.float32),
        ({"x": "lower", "y": "lower"}, torch.bfloat16),
    ],
)
def test_a_policy_means_the_same_in_eager_calls_and_graphs(
    define: Define, policy: object, expected: torch.dtype
) -> None:
    op = define("blend(Tensor x, Tensor y) -> Tensor", reference=lambda x, y: x + y, amp=policy)
    graph, x = compiled(op), torch.ones(2)
    for _ in range(2):
        with torch.autocast("cpu", torch.bfloat16):
            assert op(x, x).dtype == graph(x, x).dtype == expected
            assert op(x.requires_grad_(), x).dtype == expected
        assert op(x, x).dtype == graph(x, x).dtype == torch.float32


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("lower", (torch.bfloat16, torch.bfloat16)),
        ("fp32", (torch.float32, torch.float32)),
        ("promote", (torch.float32, torch.float32)),
        ({"xs": "lower"}, (torch.bfloat16, torch.float32)),
    ],
)
def test_a_policy_governs_every_array_of_a_list(
    define: Define,
    public_of: Callable[..., Any],
    policy: object,
    expected: tuple[torch.dtype, torch.dtype],
) -> None:
    op = define(
        "pile",
        inputs=[ops.In("xs", many=True, shape=("n",)), ops.In("y", dtypes=("bf16", "f32"))],
        outputs=[ops.Out("sum", shape=("n",), dtype="xs"), ops.Out("twice", like="y")],
        amp=policy,
        reference=lambda xs, y: (xs[0] + xs[-1], y * 2),
    )
    x, half = torch.ones(2), torch.ones(2, dtype=torch.bfloat16)
    public = public_of(op, [x], x)
    raw = getattr(torch.ops.oag, f"_{public.__name__.partition('.')[0]}").default
    graph = compiled(op)
    with torch.autocast("cpu", torch.bfloat16):
        for call in (op, graph, raw):
            found = call([x, half], x)
            assert tuple(out.dtype for out in found) == expected
    assert graph([half, half], x)[0].dtype == torch.bfloat16


def test_a_list_has_a_gradient_in_graphs_and_under_autocast(define: Define) -> None:
    op = define(
        "total",
        inputs=[ops.In("xs", many=True), ops.In("bias", optional=True)],
        attrs=[ops.Attr("by", float, 2.0)],
        outputs=[ops.Out("y", broadcast=("xs",))],
        amp="lower",
        reference=lambda xs, _bias, by: (xs[0] + xs[1]) * by,
    )
    op.backward()(lambda g, xs, by: ([g * by for _ in xs], None))
    torch._dynamo.reset()
    for call in (op, torch.compile(op, backend="aot_eager", fullgraph=True)):
        x = torch.ones(2, requires_grad=True)
        call([x, x]).sum().backward()
        assert x.grad is not None
        assert x.grad.tolist() == [4.0, 4.0]
        with torch.autocast("cpu", torch.bfloat16):
            out = call([x, x.detach()], None, 3.0)
        out.sum().backward()
        assert (out.dtype, x.grad.dtype, x.grad.tolist()) == (
            torch.bfloat16,
            torch.float32,
            [7.0, 7.0],
        )


def test_an_override_is_seen_by_graphs_that_were_compiled_before(define: Define) -> None:
    op = define("mix(Tensor x, Tensor y) -> Tensor", reference=lambda x, y: x + y, amp="keep")
    graph, x = compiled(op), torch.ones(2)
    with torch.autocast("cpu", torch.bfloat16):
        for policy, dtype in [("lower", torch.bfloat16), ("fp32", torch.float32)] * 2:
            with override({"mix": policy}):  # type: ignore[dict-item] # one of the policies
                assert op(x, x).dtype == graph(x, x).dtype == dtype
        assert op(x, x).dtype == graph(x, x).dtype == torch.float32


def test_integers_and_doubles_are_not_cast(copy_of: CopyOf) -> None:
    loss = copy_of("softmax_cross_entropy")
    target = torch.tensor([0, 1])
    with torch.autocast("cpu", torch.bfloat16):
        assert loss(torch.ones(2, 3, dtype=torch.bfloat16), target).dtype == torch.float32
        assert loss(torch.ones(2, 3, dtype=torch.float64), target).dtype == torch.float64


def test_a_swapped_body_is_seen_by_eager_calls_and_graphs_without_recompiling(
    loaded: ops.LoadedLibrary, build: Callable[..., Path]
) -> None:
    tagged, x = ops.get("tagged"), torch.zeros(2)
    graph = compiled(lambda x: tagged(x) + 0)
    assert (tagged(x)[0], graph(x)[0]) == (1.0, 1.0)
    with torch._dynamo.config.patch(error_on_recompile=True):
        assert loaded.swap(build(2)).kind == "body"
        assert (tagged(x)[0], graph(x)[0]) == (2.0, 2.0)
        assert loaded.swap(build(3)).generation == 3
        assert (tagged(x)[0], graph(x)[0]) == (3.0, 3.0)
        loaded.rollback()
        assert (tagged(x)[0], graph(x)[0]) == (2.0, 2.0)
        tagged.kernel("above", priority=5)(lambda *_, out: out.fill_(9))
        assert (tagged(x)[0], graph(x)[0]) == (9.0, 9.0)
        tagged.table.remove("above")
        assert (tagged(x)[0], graph(x)[0]) == (2.0, 2.0)


def test_a_changed_contract_is_a_new_operator_and_old_graphs_keep_the_old_one(
    loaded: ops.LoadedLibrary, build: Callable[..., Path]
) -> None:
    old, x = ops.get("tagged"), torch.ones(2)
    graph = compiled(old)
    assert graph(x)[0] == 2.0
    report = loaded.swap(build(10, "tagged(Tensor x, float scale=5.0) -> Tensor"))
    new = ops.get("tagged")
    assert (report.kind, report.operators) == ("contract", ("tagged",))
    assert new is not old
    assert new.opdef.version == old.opdef.version + 1
    assert (new(x)[0], compiled(new)(x)[0]) == (15.0, 15.0)
    assert (old(x)[0], graph(x)[0]) == (2.0, 2.0)
    assert loaded.rollback().kind == "contract"
    assert ops.get("tagged")(x)[0] == 2.0


def test_contracts_are_part_of_the_tag_of_compile_caches(define: Define) -> None:
    tags = [torch.compiler.config.cache_key_tag]
    for version in (1, 2):
        op = define(f"cached_{version}(Tensor x) -> Tensor", reference=lambda x: x)
        op(torch.ones(1))
        tags.append(torch.compiler.config.cache_key_tag)
    assert len(set(tags)) == 3
    assert all(tag.count(";oag=") == 1 for tag in tags[1:])


def test_unloading_while_a_graph_is_held_is_an_error_and_no_crash(
    build: Callable[..., Path],
) -> None:
    library = ops.load_library(build(1), name="tagged")
    tagged, x = ops.get("tagged"), torch.ones(1)
    graph = compiled(tagged)
    assert graph(x).item() == 2.0
    library.unload()
    with pytest.raises(Exception, match="OAG201"):
        graph(x)
    with suppress(RuntimeError):
        tagged(x)
    again = ops.load_library(build(4), name="tagged")
    assert ops.get("tagged")(x).item() == 5.0
    again.unload()
