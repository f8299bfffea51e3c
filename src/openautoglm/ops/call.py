"""What one call of an operator means: its arguments in order, and the outputs it will have.

Owns the checks of a call and their words. Works on descriptions of arrays, so that torch's fake
tensors and NumPy's arrays are one to it; allocates and computes nothing.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NoReturn, final

from openautoglm.errors import OpenAutoGLMError, OperatorArgumentError, OperatorDefinitionError
from openautoglm.ops.arguments import REQUIRED, ArraySpec
from openautoglm.ops.dtypes import DTYPES, listed
from openautoglm.ops.shapes import Bindings, broadcast_shapes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from openautoglm.ops.arguments import Attr, AttrValue, In, Out
    from openautoglm.ops.opdef import Infer, InputSpec, OpDef

_ABSENT = object()


def bind_arguments(
    opdef: OpDef, args: Sequence[object], kwargs: Mapping[str, object]
) -> tuple[tuple[object, ...], tuple[AttrValue, ...]]:
    """Return the inputs and the attributes of a call, each in declared order.

    Positional arguments are inputs first, then attributes. Absent optional inputs are None,
    absent attributes their defaults.

    Raises:
        OperatorArgumentError: one is missing, unknown, given twice, or an attribute not allowed.
    """
    names = (*opdef.input_names, *opdef.attr_names)
    given = _by_name(opdef, names, args, kwargs)
    inputs = tuple(_input_value(opdef, part, given) for part in opdef.inputs)
    attrs = tuple(
        attribute_value(opdef, attr, given.get(attr.name, _ABSENT)) for attr in opdef.attrs
    )
    return inputs, attrs


def infer_outputs(
    opdef: OpDef, specs: Sequence[InputSpec], attrs: Sequence[object]
) -> list[ArraySpec]:
    """Return what the outputs of a call will be, having checked its dtypes, shapes, attributes.

    Args:
        opdef: the operator.
        specs: one for each input in order: an array, None where absent, a tuple for a list.
        attrs: the values of all attributes, in order.

    Raises:
        OperatorArgumentError: an argument is not what the operator takes.
        OperatorDefinitionError: the operator's own `infer` returned what it may not.

    Example:
        >>> from openautoglm.ops.opdef import OpDef
        >>> add = OpDef.from_schema("add(Tensor x, Tensor y) -> Tensor")
        >>> infer_outputs(add, [ArraySpec((4, 1), "f32"), ArraySpec((3,), "f32")], [])
        [ArraySpec(shape=(4, 3), dtype='f32', device='cpu')]
    """
    call = _Call(opdef, specs)
    values = {
        attr.name: attribute_value(opdef, attr, value)
        for attr, value in zip(opdef.attrs, attrs, strict=True)
    }
    if opdef.infer is None:
        return [call.output(out) for out in opdef.outputs]
    found = _inferred(opdef, opdef.infer, tuple(specs), values)
    return [replace(spec, device=call.device) for spec in found]  # an operator stays on one device


@final
class _Call:
    """The arrays of one call, checked, with the sizes they agree on."""

    def __init__(self, opdef: OpDef, specs: Sequence[InputSpec]) -> None:
        self._opdef = opdef
        self._sizes = Bindings()
        self._arrays: dict[str, tuple[ArraySpec, ...]] = {}
        self._first: tuple[str, ArraySpec] | None = None
        for part, spec in zip(opdef.inputs, specs, strict=True):
            arrays = _arrays(opdef, part, spec)
            self._arrays[part.name] = arrays
            for array in arrays:
                self._check(part, array)

    @property
    def device(self) -> str:
        return "cpu" if self._first is None else self._first[1].device

    def output(self, out: Out) -> ArraySpec:
        return ArraySpec(self._shape(out), self._dtype(out), self.device)

    def _check(self, part: In, array: ArraySpec) -> None:
        self._check_dtype(part, array)
        if self._first is None:
            self._first = (part.name, array)
        name, first = self._first
        if array.device != first.device:
            _refuse(
                self._opdef,
                part.name,
                f"an array on {first.device}, where `{name}` is",
                got=f"an array on {array.device}",
                fix="move one of them",
            )
        if part.shape is None:
            return
        expected = self._sizes.bind(part.name, part.shape, array.shape)
        if expected is not None:
            _refuse(
                self._opdef,
                part.name,
                f"shape {expected}",
                got=f"shape {_sizes_text(array.shape)}",
                fix="reshape it, or change what it must fit",
            )

    def _check_dtype(self, part: In, array: ArraySpec) -> None:
        allowed = listed(part.dtypes, last="or")
        if array.dtype not in part.dtypes:
            expected = f"dtype {allowed}"
            fix = "cast it"
        else:
            leader = self._arrays[part.like or part.name][0]
            if array.dtype == leader.dtype:
                return
            expected = f"dtype {leader.dtype}, as `{part.like or part.name}` has"
            fix = "cast one to the other's dtype"
        _refuse(self._opdef, part.name, expected, got=f"dtype {array.dtype}", fix=fix)

    def _shape(self, out: Out) -> tuple[int, ...]:
        if out.like is not None:
            return self._arrays[out.like][0].shape
        if out.shape is not None:
            return self._sizes.shape_of(out.shape)
        return self._broadcast(out.broadcast or self._opdef.input_names)

    def _broadcast(self, names: Sequence[str]) -> tuple[int, ...]:
        result: tuple[int, ...] = ()
        for name in names:
            for array in self._arrays[name]:
                wider = broadcast_shapes(result, array.shape)
                if wider is None:
                    _refuse(
                        self._opdef,
                        name,
                        f"a shape that broadcasts with {_sizes_text(result)}",
                        got=f"shape {_sizes_text(array.shape)}",
                        fix="sizes must be equal or 1, counted from the last",
                    )
                result = wider
        return result

    def _dtype(self, out: Out) -> str:
        if out.dtype in DTYPES:
            return str(out.dtype)
        source = out.dtype or out.like or self._opdef.inputs[0].name
        return self._arrays[source][0].dtype


def _arrays(opdef: OpDef, part: In, spec: InputSpec) -> tuple[ArraySpec, ...]:
    if part.many:
        if isinstance(spec, ArraySpec) or not spec:
            got = "nothing" if spec is None else "one array" if spec else "an empty list"
            _refuse(opdef, part.name, "a list of one or more arrays", got=got, fix="pass a list")
        return tuple(spec)
    if isinstance(spec, ArraySpec):
        return (spec,)
    if spec is None and part.optional:
        return ()
    got = "None" if spec is None else f"a list of {len(spec)}"
    return _refuse(opdef, part.name, "one array", got=got, fix="pass an array")


def _by_name(
    opdef: OpDef, names: Sequence[str], args: Sequence[object], kwargs: Mapping[str, object]
) -> dict[str, object]:
    if len(args) > len(names):
        raise OperatorArgumentError(
            f"`{opdef.name}` takes at most {len(names)} arguments",
            got=f"{len(args)} by position",
            fix=f"call it as {_usage(opdef)}",
        )
    given = dict(zip(names, args, strict=False))
    for name, value in kwargs.items():
        if name not in names:
            raise OperatorArgumentError(
                f"`{opdef.name}` has no argument `{name}`",
                got=f"{name}=...",
                fix=f"call it as {_usage(opdef)}",
            )
        if name in given:
            fix = "pass it once"
            _refuse(opdef, name, "one value", got="it by position and by name", fix=fix)
        given[name] = value
    return given


def _input_value(opdef: OpDef, part: In, given: Mapping[str, object]) -> object:
    value = given.get(part.name)
    if value is None and not part.optional:
        expected = "a list of arrays" if part.many else "an array"
        got = "None" if part.name in given else "nothing"
        _refuse(opdef, part.name, expected, got=got, fix=f"call it as {_usage(opdef)}")
    return value


def attribute_value(opdef: OpDef, attr: Attr, value: object) -> AttrValue:
    """Return the value of an attribute as its type; errors as `bind_arguments`."""
    if value is _ABSENT:
        if attr.default is not REQUIRED:
            return attr.default
        fix = f"call it as {_usage(opdef)}"
        _refuse(opdef, attr.name, attr.expected, got="nothing", fix=fix)
    read = attr.read(value)
    if read is None:
        got = f"{value!r} ({type(value).__name__})"
        _refuse(opdef, attr.name, attr.expected, got=got, fix="pass a value that is allowed")
    return read


def _inferred(
    opdef: OpDef, infer: Infer, specs: tuple[InputSpec, ...], attrs: Mapping[str, AttrValue]
) -> list[ArraySpec]:
    try:
        found = infer(specs, attrs)
        returned: Sequence[object] = [found] if isinstance(found, ArraySpec) else list(found)
    except ValueError as cause:
        raise OperatorArgumentError(
            f"`{opdef.name}` does not take these arguments together: {cause}",
            got=", ".join(map(_spec_text, specs)),
            fix="see what the operator's documentation says of shapes",
        ) from cause
    except OpenAutoGLMError:
        raise
    except Exception as cause:
        if type(cause).__module__.partition(".")[0] == "torch":  # of tracing: torch reads it
            raise
        raise OperatorDefinitionError(
            f"infer of `{opdef.name}` failed",
            got=f"{type(cause).__name__}: {cause}",
            fix="return an ArraySpec for each output; raise ValueError to refuse a call",
        ) from cause
    outputs = [out for out in returned if isinstance(out, ArraySpec) and out.dtype in DTYPES]
    if not len(outputs) == len(returned) == len(opdef.outputs):
        raise OperatorDefinitionError(
            f"infer of `{opdef.name}`: expected {len(opdef.outputs)} ArraySpec",
            got=repr(returned),
            fix="return one ArraySpec for each output, in order",
        )
    return outputs


def _usage(opdef: OpDef) -> str:
    required = [part.name for part in opdef.inputs if not part.optional]
    required += [attr.name for attr in opdef.attrs if attr.default is REQUIRED]
    optional = [n for n in (*opdef.input_names, *opdef.attr_names) if n not in required]
    return f"{opdef.name}({', '.join([*required, *(f'{n}=...' for n in optional)])})"


def _refuse(opdef: OpDef, argument: str, expected: str, *, got: str, fix: str) -> NoReturn:
    raise OperatorArgumentError(
        f"argument `{argument}` of `{opdef.name}`: expected {expected}, got {got}", fix=fix
    )


def _sizes_text(shape: Sequence[int]) -> str:
    return f"({', '.join(map(str, shape))})"


def _spec_text(spec: InputSpec) -> str:
    if spec is None:
        return "None"
    if isinstance(spec, ArraySpec):
        return f"{spec.dtype}{_sizes_text(spec.shape)}"
    return f"[{', '.join(map(_spec_text, spec))}]"
