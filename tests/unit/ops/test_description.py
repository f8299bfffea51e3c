from __future__ import annotations

from openautoglm.ops.arguments import ArraySpec, In
from openautoglm.ops.description import describe
from openautoglm.ops.opdef import Backward, OpDef

DESCRIBED = """\
Normalise rows.

norm(Tensor<f16|f32> x[..., n] contiguous, Tensor? weight[n], float eps=1e-06 in [0, *]) \
-> (Tensor y like x, Tensor<f32> rstd[...])

Args:
    x: an array of f16 or f32, shape [..., n], where ... is any leading sizes, the same \
throughout, copied where not contiguous.
    weight: an array of the dtype of `x`, shape [n], may be None.
    eps: a float of at least 0; 1e-06 where not given.

Returns:
    y: an array of the shape `x` has, dtype of `x`, contiguous.
    rstd: an array of shape [...], dtype f32, contiguous.

Differentiable: it has a backward of its own.

Raises:
    OperatorArgumentError: an argument has a wrong dtype, shape, device or value.
    NoKernelError: no kernel takes the call."""


def test_the_docstring_says_what_the_contract_says() -> None:
    op = OpDef.from_schema(
        "norm(Tensor<f16|f32> x[..., n] contiguous, Tensor? weight[n], float eps=1e-6 in [0, *])"
        " -> (Tensor y like x, Tensor<f32> rstd[...])",
        doc="Normalise rows.\n",
        backward=Backward(lambda y, rstd, eps: (y, rstd, eps)),
    )
    assert describe(op) == DESCRIBED


def test_lists_choices_and_required_attributes_are_described() -> None:
    text = describe(
        OpDef.from_schema(
            'f(Tensor[] xs, Tensor y, int axis, str mode="a" in {"a", "b"}) -> Tensor z'
        )
    )
    assert "xs: a list of arrays, each of f16, bf16, f32 or f64, any shape." in text
    assert "axis: an int, required." in text
    assert 'mode: one of "a" or "b"; "a" where not given.' in text
    assert "z: an array of the shape `xs` and `y` broadcast to, dtype of `xs`, contiguous." in text


def test_an_operator_without_words_of_its_own_is_described_all_the_same() -> None:
    op = OpDef("op", inputs=[In("x")], infer=lambda _specs, _attrs: ArraySpec((), "f32"))
    assert describe(op).startswith("Compute `op`.\n\nop(")
    assert "out: an array, shape and dtype worked out from the arguments" in describe(op)
