from __future__ import annotations

import pytest

from openautoglm.ops.arguments import In, Out
from openautoglm.ops.opdef import OpDef
from openautoglm.ops.signature import signature_text


@pytest.mark.parametrize(
    ("text", "signature"),
    [
        (
            "add(Tensor x, Tensor y, float alpha=1.0) -> Tensor",
            "add TTf 2 * * 1 fast broadcast 2 0 1 as 0",
        ),
        (
            "nm(Tensor x[..., n], Tensor? w[n], float e) -> (Tensor y like x, Tensor<f32> z[...])",
            "nm T?f 2 [ ... s0 ] [ s0 ] 2 fast like 0 as 0 shape [ ... ] dtype 2 32",
        ),
        (
            'loss(Tensor x[b, c], Tensor<i64> t[b], int k, bool f, str m="a") -> Tensor<t> y[b, 4]',
            "loss TTibs 2 [ s0 s1 ] [ s0 ] 1 fast shape [ s0 4 ] as 1",
        ),
        (
            "same(Tensor x[n, n], Tensor y[]) -> Tensor z like y",
            "same TT 2 [ s0 s0 ] [ ] 1 fast like 1 as 1",
        ),
        ("half(Tensor x) -> Tensor<bf16> y like x", "half T 1 * 1 fast like 0 dtype 4 16"),
        (
            "pair(Tensor x, Tensor y) -> Tensor z broadcast(y)",
            "pair TT 2 * * 1 fast broadcast 1 1 as 0",
        ),
        ("zeros() -> Tensor<f32> y[3]", "zeros - 0 1 fast shape [ 3 ] dtype 2 32"),
        ("cat(Tensor[] xs[n], int axis) -> Tensor y[n]", "cat Li 1 * 1 slow"),
        ("bias(Tensor x, Tensor? b) -> Tensor", "bias T? 2 * * 1 slow"),
        ("bias(Tensor x, Tensor? b) -> Tensor y like x", "bias T? 2 * * 1 fast like 0 as 0"),
    ],
)
def test_a_signature_is_written_as_the_core_reads_it(text: str, signature: str) -> None:
    assert signature_text(OpDef.from_schema(text)) == signature


def test_outputs_only_python_can_tell_go_the_slow_way() -> None:
    op = OpDef("op", inputs=[In("x", shape=("n",))], infer=lambda specs, _attrs: specs[0])  # type: ignore[arg-type,return-value] # an array, as the input is no list
    assert signature_text(op) == "op T 1 * 1 slow"


def test_more_symbols_than_the_core_holds_go_the_slow_way() -> None:
    def with_symbols(count: int) -> OpDef:
        shape = tuple(f"n{i}" for i in range(count))
        return OpDef("op", inputs=[In("x", shape=shape)], outputs=[Out("y", like="x")])

    assert " fast " in signature_text(with_symbols(16))
    assert signature_text(with_symbols(17)) == "op T 1 * 1 slow"
