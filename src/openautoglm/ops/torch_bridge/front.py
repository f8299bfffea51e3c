"""The way in from Python for torch's tensors: autocast, graphs, gradients, then the raw operator.

The function is written for each signature and compiled once, as dataclasses do: an ordinary call
costs a handful of checks. Everything unusual is left to functions that take their time.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Final

import torch

from openautoglm.ops import arrays, dispatch, lists, precision
from openautoglm.ops.arguments import REQUIRED
from openautoglm.ops.autograd import eager_function, register_gradient, transformed_function
from openautoglm.ops.call import attribute_value, bind_arguments
from openautoglm.ops.torch_bridge import slots
from openautoglm.ops.torch_bridge.batching import register_batching

if TYPE_CHECKING:
    from collections.abc import Callable

    from openautoglm.ops.arguments import Attr
    from openautoglm.ops.opdef import OpDef
    from openautoglm.ops.table import KernelTable

# names of its own have two leading underscores, which no input or attribute can have
_FRONT: Final = """\
def __call__({parameters}, /, *__more, **__named):
    if __named or __more:
        {everything}, = __arrange(({everything},), __more, __named)
    {defaults}
    if {all_tensors}:
        if __is_compiling():
            return __in_graph(({inputs},), ({attrs}))
        {read_attrs}
        try:
            if __transforming() or __forward_ad._current_level >= 0:
                if __is_autocasting():
                    {inputs}, = __cast(({inputs},))
                return __transformed({arguments})
            if ({any_requires_grad}) and __is_grad_enabled():
                if __is_autocasting():
                    {inputs}, = __cast(({inputs},))
                return __with_gradient({arguments})
            {shortcut}
            return __raw({arguments})
        except RuntimeError as __failure:
            __raise_pending(__failure)
    return __unusual({by_name})
"""


def make_front(table: KernelTable) -> Callable[..., Any]:
    """Define the operator in torch and return `__call__` for its signature."""
    opdef = table.opdef
    made = slots.define(table)
    cast = _caster(opdef)
    register_gradient(opdef, made.public.name(), slots.LIBRARY)
    register_batching(opdef, made)
    _register_autocast(made, cast)
    raw = made.raw._op  # noqa: SLF001 - spares a Python frame
    transformed = transformed_function(opdef, made.raw)
    scope: dict[str, Any] = {
        "__Tensor": torch.Tensor,
        "__Parameter": torch.nn.Parameter,
        "__type": type,
        "__is_compiling": torch.compiler.is_dynamo_compiling,
        "__is_autocasting": torch._C._is_any_autocast_enabled,  # noqa: SLF001 - one call for all devices
        "__is_grad_enabled": torch.is_grad_enabled,
        "__raw": raw,
        "__forward_ad": torch.autograd.forward_ad,
        "__transforming": torch._C._are_functorch_transforms_active,  # noqa: SLF001 - as autograd.Function asks
        "__transformed": transformed,
        "__in_graph": _in_graph(made, cast, transformed),
        "__cast": cast,
        "__with_gradient": eager_function(opdef, raw),
        "__raise_pending": slots.raise_pending,
        "__unusual": _unusual(table, made, cast),
        "__arrange": _arranger(opdef),
        "__MISSING": _MISSING,
        "__Missing": _Missing,
    }
    for attr in opdef.attrs:
        scope[f"__default_{attr.name}"] = attr.default
        scope[f"__read_{attr.name}"] = _reader(opdef, attr)
    if any(part.many for part in opdef.inputs) or not opdef.inputs:
        return _slow_front(opdef, scope["__unusual"])
    exec(compile(_source(opdef), f"<front of {opdef.name}>", "exec"), scope)  # noqa: S102 - our own text
    front: Callable[..., Any] = scope["__call__"]
    front.__signature__ = _signature(opdef)  # type: ignore[attr-defined]  # as inspect reads it
    return front


class _Missing:
    """Stands for an argument that was not given; known by its type, which a graph can ask for."""


_MISSING: Final = _Missing()
_EMPTY: Final = inspect.Parameter.empty
_AUTOCAST_DEVICES: Final = ("cpu", "cuda")
_KEYS: Final = torch._C.DispatchKey  # noqa: SLF001 - it has no public name
_KEY_SET: Final = torch._C.DispatchKeySet  # noqa: SLF001 - it has no public name
_AUTOCAST: Final = _KEY_SET(_KEYS.AutocastCPU) | _KEY_SET(_KEYS.AutocastCUDA)


def _source(opdef: OpDef) -> str:
    required = [part.name for part in opdef.inputs if not part.optional]
    checks = [f"(__type({name}) is __Tensor or __type({name}) is __Parameter)" for name in required]
    grads = [f"{name}.requires_grad" for name in required]
    for part in opdef.inputs:
        if part.optional:
            checks.append(
                f"({part.name} is None or __type({part.name}) is __Tensor"
                f" or __type({part.name}) is __Parameter)"
            )
            grads.append(f"({part.name} is not None and {part.name}.requires_grad)")
    if not required:
        checks.append(f"({' or '.join(f'{part.name} is not None' for part in opdef.inputs)})")
    attrs = list(opdef.attr_names)
    checks += [f"__type({a.name}) is not __Missing" for a in opdef.attrs if a.default is REQUIRED]
    by_name = [f"{name}={name}" for name in (*opdef.input_names, *attrs)]
    return _FRONT.format(
        parameters=", ".join(["__self", *(f"{name}=__MISSING" for name in _names(opdef))]),
        everything=", ".join(_names(opdef)),
        defaults="\n    ".join(_defaults(opdef)) or "pass",
        all_tensors=" and ".join(checks),
        any_requires_grad=" or ".join(grads),
        inputs=", ".join(opdef.input_names),
        attrs="".join(f"{name}, " for name in attrs),
        read_attrs="\n        ".join(map(_read_attr, opdef.attrs)) or "pass",
        arguments=", ".join((*opdef.input_names, *attrs)),
        shortcut=_shortcut(opdef),
        by_name=", ".join(by_name),
    )


def _names(opdef: OpDef) -> tuple[str, ...]:
    return (*opdef.input_names, *opdef.attr_names)


def _defaults(opdef: OpDef) -> list[str]:
    """Return the lines that fill in what was not given; what must be, `unusual` misses."""
    values = {part.name: "None" for part in opdef.inputs if part.optional}
    values |= {a.name: f"__default_{a.name}" for a in opdef.attrs if a.default is not REQUIRED}
    return [f"if __type({name}) is __Missing: {name} = {value}" for name, value in values.items()]


def _arranger(opdef: OpDef) -> Callable[..., tuple[object, ...]]:
    """Return what puts named arguments in their places; it refuses a wrong one in our words.

    Python itself would with a bare TypeError.
    """
    names = _names(opdef)

    def arrange(
        values: tuple[object, ...], more: tuple[object, ...], named: dict[str, object]
    ) -> tuple[object, ...]:
        placed = list(values)
        is_wrong = bool(more)
        for name, value in named.items():
            if name in names and placed[names.index(name)] is _MISSING:
                placed[names.index(name)] = value
            else:
                is_wrong = True
        if is_wrong:
            given = [value for value in values if value is not _MISSING]
            bind_arguments(opdef, (*given, *more), named)
        return tuple(placed)

    return arrange


def _signature(opdef: OpDef) -> inspect.Signature:
    """Return the signature for people: names and defaults, where the function has its own."""
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    defaults: dict[str, object] = {"self": _EMPTY}
    defaults |= {part.name: None if part.optional else _EMPTY for part in opdef.inputs}
    defaults |= {a.name: _EMPTY if a.default is REQUIRED else a.default for a in opdef.attrs}
    found, is_late = [], False
    for name, default in defaults.items():  # Python has no required one behind an optional one
        is_late = is_late or default is not _EMPTY
        shown = REQUIRED if is_late and default is _EMPTY else default
        found.append(inspect.Parameter(name, kind, default=shown))
    return inspect.Signature(found)


def _read_attr(attr: Attr) -> str:
    """Return the line that checks an attribute; the right type without limits is right."""
    name = attr.name
    tests = [] if attr.default is REQUIRED else [f"{name} is not __default_{name}"]
    if attr.low is None and attr.high is None and attr.choices is None:
        tests.append(f"__type({name}) is not {attr.type.__name__}")
    line = f"{name} = __read_{name}({name})"
    return f"if {' and '.join(tests)}: {line}" if tests else line


def _shortcut(opdef: OpDef) -> str:
    """Return the line that leaves default attributes to the schema: torch reads fewer arguments."""
    if not opdef.attrs or any(attr.default is REQUIRED for attr in opdef.attrs):
        return "pass"
    default = " and ".join(f"{attr.name} is __default_{attr.name}" for attr in opdef.attrs)
    return f"if {default}: return __raw({', '.join(opdef.input_names)})"


def _reader(opdef: OpDef, attr: Attr) -> Callable[[object], object]:
    def read(value: object) -> object:
        return attribute_value(opdef, attr, value)

    return read


def _caster(opdef: OpDef) -> Callable[[tuple[Any, ...]], tuple[Any, ...]]:
    """Return what casts inputs as the policy in force says, where autocast is on for their device.

    Dynamo traces it; what the policy says is a constant of the graph, guarded by the name of the
    table in force.
    """
    single: lists.Counts = (None,) * len(opdef.inputs)

    @torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]  # torch has no types here
    def targets(
        in_force: str, lower: torch.dtype, counts: lists.Counts, *dtypes: torch.dtype | None
    ) -> Any:  # noqa: ANN401 - torch's dtypes
        del in_force  # part of the guard, not of the answer: the table is read here
        names = [None if dtype is None else arrays.torch_name(dtype) for dtype in dtypes]
        policies = lists.spread(precision.current_table().policies(opdef), counts)
        found = precision.cast_targets(policies, names, arrays.torch_name(lower))
        return tuple(None if name is None else arrays.torch_dtype(name) for name in found)

    def cast(inputs: tuple[Any, ...], counts: lists.Counts = single) -> tuple[Any, ...]:
        device = next(value for value in inputs if value is not None).device.type
        if device not in _AUTOCAST_DEVICES or not torch.is_autocast_enabled(device):
            return inputs
        dtypes = [None if value is None else value.dtype for value in inputs]
        found = targets(precision.in_force, torch.get_autocast_dtype(device), counts, *dtypes)
        return tuple(
            value if dtype is None else value.to(dtype)
            for value, dtype in zip(inputs, found, strict=True)
        )

    def cast_lists(inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        counts = lists.counts_of(inputs)
        return tuple(lists.nested(cast(tuple(lists.flat(inputs)), counts), counts))

    return cast_lists if any(part.many for part in opdef.inputs) else cast


def _register_autocast(
    made: slots.Slots, cast: Callable[[tuple[Any, ...]], tuple[Any, ...]]
) -> None:
    """Cast in torch's own dispatcher, so that calls without autocast pay nothing for it."""
    name = made.raw._schema.name.partition("::")[2]  # noqa: SLF001 - the overload does not tell it
    inputs = sum("Tensor" in str(a.type) for a in made.raw._schema.arguments)  # noqa: SLF001 - as above

    def autocast(*args: Any) -> Any:  # noqa: ANN401 - tensors
        # torch leaves out trailing arguments that have their default
        given = args[:inputs]
        ready = cast((*given, *(None,) * (inputs - len(given))))
        with torch._C._ExcludeDispatchKeyGuard(_AUTOCAST):  # noqa: SLF001 - the way back into the dispatcher
            return made.raw(*ready, *args[inputs:])

    for key in ("AutocastCPU", "AutocastCUDA"):
        slots.LIBRARY.impl(name, autocast, key)


def _in_graph(
    made: slots.Slots,
    cast: Callable[[tuple[Any, ...]], tuple[Any, ...]],
    transformed: Callable[..., Any],
) -> Callable[..., Any]:
    outside = torch.compiler.disable(
        transformed
    )  # right, or refused aloud: Dynamo hides what it differentiates
    transforming = torch._C._are_functorch_transforms_active  # noqa: SLF001 - as autograd.Function asks
    forward_ad = torch.autograd.forward_ad

    def call(inputs: tuple[Any, ...], attrs: tuple[Any, ...]) -> Any:  # noqa: ANN401 - tensors
        ready = cast(inputs)
        if transforming() or forward_ad._current_level >= 0:  # noqa: SLF001 - it has no public name
            return outside(*ready, *attrs)
        wants_gradient = torch.is_grad_enabled() and any(
            x is not None and x.requires_grad for x in ready
        )
        if wants_gradient or torch.compiler.is_exporting():
            return made.public(*ready, *attrs)
        return made.raw(*ready, *attrs)  # without the layer that would record a gradient

    return call


def _unusual(
    table: KernelTable, made: slots.Slots, cast: Callable[[tuple[Any, ...]], tuple[Any, ...]]
) -> Callable[..., Any]:
    """Return the way of every call that is not plainly on tensors of torch itself."""

    def call(**given: object) -> Any:  # noqa: ANN401 - arrays
        arguments = {name: value for name, value in given.items() if value is not _MISSING}
        inputs, attrs = bind_arguments(table.opdef, (), arguments)
        if not any(arrays.is_torch(array) for array in lists.flat(inputs)):
            return dispatch.call(table, inputs, attrs)
        dispatch.specs_of(table, inputs)  # words what is no array
        ready = cast(tuple(arrays.as_torch_all(value) for value in inputs))
        try:
            return made.public(*ready, *attrs)
        except RuntimeError as failure:
            slots.raise_pending(failure)

    return call


def _slow_front(opdef: OpDef, unusual: Callable[..., Any]) -> Callable[..., Any]:
    def __call__(_self: object, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401, N807 - becomes a method
        inputs, attrs = bind_arguments(opdef, args, kwargs)
        named = dict(zip((*opdef.input_names, *opdef.attr_names), (*inputs, *attrs), strict=True))
        return unusual(**named)

    return __call__
