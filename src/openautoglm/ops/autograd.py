"""Gradients of an operator in torch, made from its one `backward`.

Three ways in for the same formula: eager calls through `autograd.Function` with its context in
`forward` (a third of the cost of the other style), functional transforms through the style they
ask for, graphs through the public torch operator.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

import torch

from openautoglm.errors import KernelFailedError, OpenAutoGLMError, TransformUnsupportedError
from openautoglm.ops import lists
from openautoglm.ops.opdef import Backward

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from openautoglm.ops.opdef import OpDef


def register_gradient(opdef: OpDef, qualified: str, library: Any) -> None:  # noqa: ANN401 - torch's library
    """Give the public torch operator its gradient, for graphs.

    Without one it refuses: torch would go on and leave the gradient out.
    """
    formula = _Formula(opdef, opdef.backward or _no_gradient(opdef))
    torch.library.register_autograd(
        qualified, formula.gradients, setup_context=formula.keep, lib=library
    )


def eager_function(opdef: OpDef, raw: Callable[..., Any]) -> Callable[..., Any]:
    """Return `apply` of an autograd function around the raw torch operator."""
    formula = _Formula(opdef, opdef.backward or _no_gradient(opdef))
    made = _eager(formula, raw)
    # the C function below autograd.Function.apply, which asks again whether a transform is active
    apply: Callable[..., Any] = super(torch.autograd.Function, made).apply
    return apply


def transformed_function(opdef: OpDef, raw: Callable[..., Any]) -> Callable[..., Any]:
    """Return the same for calls under `torch.func`, which asks for a context of its own."""
    formula = _Formula(opdef, opdef.backward or _no_gradient(opdef))
    apply: Callable[..., Any] = _transformed(formula, raw).apply
    return apply


def _eager(formula: _Formula, raw: Callable[..., Any]) -> type[torch.autograd.Function]:
    class Eager(torch.autograd.Function):  # type: ignore[misc]  # torch has no types here
        """The gradient of an eager call."""

        @staticmethod
        def forward(ctx: Any, *args: Any) -> Any:  # noqa: ANN401 - torch's protocol
            outputs = raw(*args)
            formula.keep(ctx, args, outputs)
            ctx.shapes = formula.shapes(args)
            return outputs

        @staticmethod
        def backward(ctx: Any, *grads: Any) -> Any:  # noqa: ANN401 - torch's protocol
            return formula.eager_gradients(ctx, *grads)

        @staticmethod
        def jvp(*_: Any) -> Any:  # noqa: ANN401 - torch's protocol
            formula.refuse_forward_mode()

    return Eager


def _transformed(formula: _Formula, raw: Callable[..., Any]) -> type[torch.autograd.Function]:
    class Transformed(torch.autograd.Function):  # type: ignore[misc]  # torch has no types here
        """The gradient under `torch.func`."""

        generate_vmap_rule = True

        @staticmethod
        def forward(*args: Any) -> Any:  # noqa: ANN401 - torch's protocol
            return raw(*args)

        @staticmethod
        def setup_context(ctx: Any, inputs: Any, output: Any) -> None:  # noqa: ANN401 - torch's protocol
            formula.keep(ctx, inputs, output)

        @staticmethod
        def backward(ctx: Any, *grads: Any) -> Any:  # noqa: ANN401 - torch's protocol
            return formula.gradients(ctx, *grads)

        @staticmethod
        def jvp(*_: Any) -> Any:  # noqa: ANN401 - torch's protocol
            formula.refuse_forward_mode()

    return Transformed


def _no_gradient(opdef: OpDef) -> Backward:
    def refuse(*_: object) -> object:
        raise TransformUnsupportedError(
            f"operator `{opdef.name}` has no gradient",
            got="backward through a call of it",
            fix="give it a backward, or detach its inputs",
        )

    return Backward(refuse)


class _Formula:
    """What is kept of a forward, and the gradients made of it."""

    def __init__(self, opdef: OpDef, backward: Backward) -> None:
        self._opdef = opdef
        self._backward = backward
        self._inputs = len(opdef.inputs)
        self._defaults = tuple(attr.default for attr in opdef.attrs)
        inputs, outputs = opdef.input_names, opdef.output_names
        self._kept_inputs = [inputs.index(n) for n in backward.save if n in inputs]
        self._kept_outputs = [outputs.index(n) for n in backward.save if n not in inputs]
        order = [n for n in backward.save if n in inputs]
        order += [n for n in backward.save if n not in inputs]
        self._order = [order.index(name) for name in backward.save]
        self._single = len(opdef.outputs) == 1
        self._optional = [i for i, part in enumerate(opdef.inputs) if part.optional]
        self._lists = [i for i, part in enumerate(opdef.inputs) if part.many]
        self._has_lists = bool(self._lists)

    def refuse_forward_mode(self) -> NoReturn:
        """Refuse forward-mode derivatives, of which an operator says nothing."""
        raise TransformUnsupportedError(
            f"operator `{self._opdef.name}` has no forward-mode derivative",
            got="torch.func.jvp, jacfwd or forward-mode autograd",
            fix="use reverse mode: torch.func.vjp, jacrev or grad",
        )

    def shapes(self, arguments: tuple[Any, ...]) -> list[Any]:
        """Return the shape of each input, None of one that has none."""
        inputs = arguments[: self._inputs]
        if self._optional or self._has_lists:
            return [getattr(value, "shape", None) for value in inputs]
        return [value.shape for value in inputs]

    def keep(self, ctx: Any, inputs: Any, output: Any) -> None:  # noqa: ANN401 - torch's protocol
        """Save what the gradient needs."""
        if self._order:
            kept = [inputs[i] for i in self._kept_inputs]
            if self._kept_outputs:
                outputs = (output,) if self._single else output
                kept += [outputs[i] for i in self._kept_outputs]
            if self._has_lists:
                ctx.counts = lists.counts_of(kept)
                kept = lists.flat(kept)
            ctx.save_for_backward(*kept)
        given = inputs[self._inputs :]
        ctx.attrs = (*given, *self._defaults[len(given) :])
        ctx.arguments = len(inputs)
        if self._optional:
            ctx.absent = [i for i in self._optional if i < len(inputs) and inputs[i] is None]

    def gradients(self, ctx: Any, *grads: Any) -> Any:  # noqa: ANN401 - torch's protocol
        """Return a gradient for every argument of the call, None where there is none."""
        return self._made(ctx, self._backward.function(*grads, *self._kept(ctx), *ctx.attrs))

    def eager_gradients(self, ctx: Any, *grads: Any) -> Any:  # noqa: ANN401 - torch's protocol
        """Return the same, with what goes wrong in it told as the operator's."""
        kept = self._kept(ctx)
        try:
            found = self._backward.function(*grads, *kept, *ctx.attrs)
        except OpenAutoGLMError:
            raise
        except Exception as cause:
            raise KernelFailedError(
                f"backward of `{self._opdef.name}` failed",
                got=f"{type(cause).__name__}: {cause}",
                fix=f"mend the backward of `{self._opdef.name}`",
            ) from cause
        made = self._made(ctx, found)
        for name, gradient, shape in zip(self._opdef.input_names, made, ctx.shapes, strict=False):
            if gradient is not None and shape is not None and gradient.shape != shape:
                self._check_reducible(name, gradient.shape, shape)
        return made

    def _check_reducible(self, name: str, found: Sequence[int], shape: Sequence[int]) -> None:
        """Refuse a gradient that does not sum up to the shape of its input, as torch makes it."""
        lacking = len(found) - len(shape)
        pairs = zip(found[max(lacking, 0) :], shape, strict=False)
        if lacking < 0 or any(size not in (1, other) for other, size in pairs):
            raise KernelFailedError(
                f"backward of `{self._opdef.name}`: the gradient of `{name}` has a wrong shape",
                got=f"{tuple(found)}, the input has {tuple(shape)}",
                fix="return a gradient of the shape of its input",
            )

    def _kept(self, ctx: Any) -> list[Any]:  # noqa: ANN401 - torch's protocol
        if not self._order:
            return []
        kept = lists.nested(ctx.saved_tensors, ctx.counts) if self._has_lists else ctx.saved_tensors
        return [kept[i] for i in self._order]

    def _made(self, ctx: Any, found: Any) -> Any:  # noqa: ANN401 - torch's protocol
        made = list(found) if isinstance(found, (tuple, list)) else [found]
        if self._has_lists:
            made = self._with_lists(ctx, made)
        if len(made) != self._inputs:
            raise KernelFailedError(
                f"backward of `{self._opdef.name}` returned {len(made)} gradients",
                got=f"the operator has {self._inputs} inputs",
                fix="return one for each input, None where there is none",
            )
        if self._optional:
            for place in ctx.absent:
                made[place] = None
        for name, gradient in zip(self._opdef.input_names, made, strict=True):
            if not _is_gradient(gradient):
                raise KernelFailedError(
                    f"backward of `{self._opdef.name}`: the gradient of `{name}` is no tensor",
                    got=type(gradient).__name__,
                    fix="return a tensor for each input, None where there is none",
                )
        found = (*made, *(None,) * (ctx.arguments - self._inputs))
        if not self._has_lists:
            return found
        # torch leaves out trailing arguments that have their default, and counts beside a list
        return found[: len(ctx.needs_input_grad)]

    def _with_lists(self, ctx: Any, made: list[Any]) -> list[Any]:  # noqa: ANN401 - torch's protocol
        """Return gradients with a list where the input is one; the only one may come alone."""
        if self._inputs == 1 and not (len(made) == 1 and _is_list_or_none(made[0])):
            made = [made]
        for place in self._lists[: len(made)]:
            count = len(ctx.needs_input_grad[place])
            found = [None] * count if made[place] is None else made[place]
            size = f" of {len(found)}" if isinstance(found, (list, tuple)) else ""
            if size != f" of {count}":
                raise KernelFailedError(
                    f"backward of `{self._opdef.name}`: the gradient of "
                    f"`{self._opdef.input_names[place]}` is no list of {count}",
                    got=f"{type(found).__name__}{size}",
                    fix="return one for each array of the list, None where there is none",
                )
            made[place] = list(found)
        return made


def _is_list_or_none(value: object) -> bool:
    return value is None or isinstance(value, (tuple, list))


def _is_gradient(value: object) -> bool:
    if isinstance(value, (tuple, list)):  # of a list of tensors
        return all(one is None or isinstance(one, torch.Tensor) for one in value)
    return value is None or isinstance(value, torch.Tensor)
