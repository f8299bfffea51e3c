from __future__ import annotations

import numpy as np
import pytest
import torch

from openautoglm import ops
from openautoglm.errors import OperatorDefinitionError
from openautoglm.ops.authoring import read_class
from openautoglm.ops.call import infer_outputs


class CustomAdd(ops.Operator):
    """Add with a share."""

    def forward(self, x: torch.Tensor, y: torch.Tensor, share: float = 0.5) -> torch.Tensor:
        return x * share + y * (1 - share)

    def backward(self, g: torch.Tensor, share: float) -> tuple[torch.Tensor, ...]:
        return g * share, g * (1 - share)


@pytest.mark.usefixtures("owned")
def test_a_class_is_the_same_contract_as_a_definition() -> None:
    made = ops.register(CustomAdd)
    assert made.opdef.schema() == "(Tensor x, Tensor y, float share=0.5) -> Tensor"
    assert made.opdef.output_names == ("out",)
    assert made.opdef.doc == "Add with a share."
    assert made(np.ones(2), np.zeros(2), share=0.25).tolist() == [0.25, 0.25]
    x = torch.ones(2, dtype=torch.float64, requires_grad=True)
    y = torch.ones(2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, y: made(x, y, 0.3), (x, y))


@pytest.mark.usefixtures("owned")
def test_a_decorated_class_is_an_operator() -> None:
    @ops.register
    class Scaled(ops.Operator):
        name = "scaled_rows"
        inputs = (ops.In("x", dtypes=("f32",)), ops.In("bias", optional=True))

        def forward(self, x, bias, by: int, mode="plain"):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202 - as users write it
            return x * by + (0 if bias is None else bias) + len(mode)

    made: object = Scaled  # type checkers do not see what a decorator makes of a class
    scaled = ops.get("scaled_rows")
    assert made is scaled
    assert scaled.opdef.attr_names == ("by", "mode")
    assert scaled(np.ones(1, "f4"), by=3).tolist() == [8.0]


def test_saved_arguments_are_read_from_the_names_of_backward() -> None:
    class Product(ops.Operator):
        outputs = (ops.Out("z"),)

        def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            return x * y

        def backward(
            self, g: torch.Tensor, y: torch.Tensor, x: torch.Tensor
        ) -> tuple[torch.Tensor, ...]:
            return g * y, g * x

    backward = read_class(Product).backward
    assert backward is not None
    assert backward.save == ("y", "x")
    assert backward.function(2, 3, 5) == (6, 10)


class NoForward(ops.Operator):
    pass


class Strange(ops.Operator):
    def forward(self, x: torch.Tensor, how: object = ()) -> torch.Tensor:
        del how
        return x


class Wants(ops.Operator):
    def __init__(self, size: int) -> None:
        self.size = size

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        (object, "a subclass of `ops.Operator`"),
        (CustomAdd(), "a subclass of `ops.Operator`"),
        (NoForward, "cannot be made"),
        (Strange, "neither an array nor a plain value"),
        (Wants, "cannot be made"),
    ],
)
def test_a_class_that_states_no_contract_is_refused(written: type, problem: str) -> None:
    with pytest.raises(OperatorDefinitionError, match=problem) as caught:
        read_class(written)
    assert caught.value.fix


def one_of_its_own(specs: tuple[ops.ArraySpec, ...], _: object) -> list[ops.ArraySpec]:
    return [ops.ArraySpec((7,), specs[0].dtype)]


class AsMethod(ops.Operator):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x

    def infer(self, specs, attrs):  # type: ignore[no-untyped-def, override] # noqa: ANN001, ANN201 - as users write it
        assert isinstance(self, AsMethod)
        return one_of_its_own(specs, attrs)


class AsFunction(AsMethod):
    infer = one_of_its_own  # type: ignore[assignment] # a function taken as it is


class AsStatic(AsMethod):
    infer = staticmethod(one_of_its_own)


@pytest.mark.parametrize("written", [AsMethod, AsFunction, AsStatic])
def test_infer_is_a_method_or_a_function(written: type[ops.Operator]) -> None:
    opdef = read_class(written)
    made = infer_outputs(opdef, [ops.ArraySpec((2,), "f32")], ())
    assert made == [ops.ArraySpec((7,), "f32")]


def test_an_annotation_that_cannot_be_read_hides_no_other() -> None:
    class Scaled(ops.Operator):
        def forward(self, x: "Unknown", by: float) -> "Unknown":  # type: ignore[name-defined] # noqa: F821, UP037 - the case
            return x * by

    assert read_class(Scaled).attr_names == ("by",)
