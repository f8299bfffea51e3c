from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from openautoglm.errors import OperatorDefinitionError
from openautoglm.ops.kernel import Capability, Kernel, check_kernel, reference_kernel
from openautoglm.ops.opdef import OpDef

if TYPE_CHECKING:
    from collections.abc import Callable

LOSS = OpDef.from_schema("loss(Tensor<f32|f64> x[b, c], Tensor<i64> t[b]) -> Tensor y[b]")


def kernel(**settings: object) -> Kernel:
    return Kernel(**{"name": "fast", "op": "loss", "function": print, **settings})  # type: ignore[arg-type] # any of its fields


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: kernel(name=""), "a kernel of `loss` has no name"),
        (lambda: kernel(name=3), "a name that cannot be used\n  got: 3"),
        (lambda: kernel(name="a;b"), "a name that cannot be used\n  got: 'a;b'"),
        (lambda: kernel(name="a,b"), "take a text without any of ; = ,"),
        (lambda: kernel(priority="1"), "`fast` of `loss`: priority is a whole number\n  got: '1'"),
        (lambda: kernel(priority=True), "priority is a whole number"),
        (lambda: kernel(capability="sm_80"), "capability is a Capability"),
        (lambda: kernel(when=True), "when is a function"),
        (lambda: kernel(function=None), "function is a function"),
        (lambda: kernel(dtypes="f32"), "dtypes is a tuple"),
        (lambda: kernel(language="rust"), "`fast` of `loss`: the language is python, numpy"),
        (lambda: kernel(device="tpu"), "the device is cpu or cuda\n  got: 'tpu'"),
        (lambda: kernel(dtypes=("float32",)), "dtypes are names of"),
        (lambda: kernel(dtypes={"x": ("f32",), "t": ("int",)}), "got: int"),
        (lambda: kernel(dtypes=()), "name at least one"),
        (
            lambda: kernel(device="cuda", capability=Capability(isa="neon")),
            "an instruction set is a processor's",
        ),
        (lambda: Capability(isa="avx2"), "not known\n  got: avx2"),
        (lambda: Capability(min=(9, 0), max=(8, 0)), "newer device than it allows"),
    ],
)
def test_a_kernel_that_contradicts_itself_is_refused(
    make: Callable[[], object], message: str
) -> None:
    with pytest.raises(OperatorDefinitionError, match=message) as caught:
        make()
    assert caught.value.fix


@pytest.mark.parametrize(
    ("dtypes", "message"),
    [
        (("f16", "f32"), "input `x` is never f16\n  got: the operator takes f32 and f64"),
        ({"t": ("i32",)}, "input `t` is never i32"),
        ({"z": ("f32",)}, "dtypes for `z`, which is no input"),
    ],
)
def test_a_kernel_keeps_to_the_inputs_and_dtypes_of_its_operator(
    dtypes: object, message: str
) -> None:
    with pytest.raises(OperatorDefinitionError, match=message):
        check_kernel(kernel(dtypes=dtypes), LOSS)


def test_a_kernel_of_the_operators_own_dtypes_is_taken() -> None:
    for dtypes in (None, ("f32",), {"x": ("f64",), "t": ("i64",)}):
        check_kernel(kernel(dtypes=dtypes), LOSS)


def test_dtypes_without_names_are_those_of_the_first_input() -> None:
    assert kernel(dtypes=("f32",)).dtypes_by_input(("x", "t")) == {"x": ("f32",)}
    assert kernel(dtypes={"t": ("i64",)}).dtypes_by_input(("x", "t")) == {"t": ("i64",)}
    assert kernel().dtypes_by_input(("x", "t")) == {}


def test_the_reference_takes_every_device_and_dtype_behind_all_others() -> None:
    reference = reference_kernel(LOSS, print)
    assert (reference.device, reference.dtypes, reference.when) == (None, None, None)
    assert reference.priority < kernel().priority


def test_a_kernel_can_be_a_key_whatever_its_dtypes() -> None:
    assert len({kernel(), kernel(dtypes={"x": ("f32",)}), kernel(dtypes=("f32",))}) == 3
