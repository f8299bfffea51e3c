"""Whatever is passed to the verbs of operators, what comes back is an error of ours."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from openautoglm import ops
from openautoglm.errors import OpenAutoGLMError, OperatorDefinitionError, UnknownNameError
from openautoglm.ops import catalog
from openautoglm.ops.precision import override

if TYPE_CHECKING:
    from collections.abc import Callable

Fields: TypeAlias = dict[str, Any]


def _fill(x: Any, *, out: Any) -> None:  # noqa: ANN401 - arrays
    out[...] = x


def _double(x: Any) -> Any:  # noqa: ANN401 - an array
    return x * 2


def _gradient(g: Any, x: Any) -> Any:  # noqa: ANN401 - arrays
    return g + x


RIGHT = (
    *("x", "y", "z", "f32", "i8", "cpu", "cuda", "numpy", "python", "fp32", "keep", "n", "..."),
    *(ops.In("x"), ops.In("z"), ops.Attr("a", float, 1.0), ops.Attr("b", str), ops.Out("y")),
    *(ops.Capability(), ops.Capability(min=(8, 0)), ops.REQUIRED, ops.Backward(_gradient)),
    *(_fill, _double, _gradient, float, str, 1),
)
WRONG = (
    *(10**400, 2**63, 1j, object(), print, ops.In, ops.Out, list, ..., Path("no where"), "ß"),
    *(np.zeros(2), np.array(3), np.array(["x", "y"]), np.float32(1), range(3)),
)
LEAVES = st.one_of(
    st.sampled_from(RIGHT),
    st.sampled_from(WRONG),
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.binary(),
)
JUNK = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=2),
        st.lists(inner, max_size=2).map(tuple),
        st.sets(st.text(max_size=2), max_size=2),
        st.dictionaries(st.integers() | st.just("x") | st.text(max_size=2), inner, max_size=2),
    ),
    max_leaves=4,
)


def some(*names: str) -> st.SearchStrategy[Fields]:
    """Return junk for a few of these arguments."""
    return st.fixed_dictionaries({}, optional=dict.fromkeys(names, JUNK))


KERNEL = ("device", "dtypes", "language", "priority", "capability", "when", "contiguous")
CLASS = ("name", "inputs", "attrs", "outputs", "infer", "amp", "forward", "backward", "__doc__")
OPTIONS = ("version", "infer", "reference", "amp", "backward", "doc")
MAKERS: dict[str, tuple[Callable[..., object], Fields, tuple[str, ...]]] = {
    "In": (
        ops.In,
        {"name": "x"},
        ("name", "dtypes", "shape", "layout", "optional", "many", "like"),
    ),
    "Attr": (
        ops.Attr,
        {"name": "a", "type": float},
        ("name", "type", "default", "low", "high", "choices"),
    ),
    "Out": (ops.Out, {"name": "y"}, ("name", "like", "shape", "dtype", "broadcast")),
    "Capability": (ops.Capability, {}, ("min", "max", "isa")),
    "Backward": (ops.Backward, {"function": print}, ("function", "save")),
    "Kernel": (
        ops.Kernel,
        {"name": "k", "op": "o", "function": print},
        (*KERNEL, "name", "op", "function", "library", "generation"),
    ),
    "define": (
        ops.define,
        {"name": "junk", "inputs": [ops.In("x")]},
        ("name", "inputs", "attrs", "outputs", *OPTIONS),
    ),
    "from_schema": (
        ops.OpDef.from_schema,
        {"text": "junk(Tensor x) -> Tensor"},
        ("text", *OPTIONS),
    ),
    "get": (ops.get, {"name": "add"}, ("name",)),
    "rollback": (ops.rollback, {"name": "add"}, ("name",)),
    "remove": (ops.remove, {"name": "no such operator"}, ("name",)),
    "replace": (ops.replace, {"opdef": None}, ("opdef",)),
    "register": (ops.register, {"written": None}, ("written",)),
    "load_library": (ops.load_library, {"path": "no where"}, ("path", "name")),
    "override": (override, {"choices": {}}, ("choices",)),
}


def test_a_wrong_argument_is_named_with_what_was_got_and_what_to_do(owned: str) -> None:
    loose: Any = ops  # type checkers would see the mistakes
    x = [ops.In("x")]
    op = loose.define("right", inputs=x, reference=_double)
    wrong: tuple[tuple[Callable[[], object], str, str], ...] = (
        (lambda: loose.define("j", inputs=["x"]), "inputs are made of `In`", "'x'"),
        (lambda: loose.define("j", inputs=3), "inputs are a sequence", "3"),
        (lambda: loose.define("j", inputs=x, attrs=["x"]), "attrs are made of `Attr`", "'x'"),
        (lambda: loose.define("j", inputs=x, outputs=x), "outputs are made of `Out`", "In("),
        (lambda: loose.define("j", inputs=x, version="1"), "version is a whole number", "'1'"),
        (
            lambda: loose.define("j", inputs=x, backward=print),
            "backward is an `ops.Backw",
            "print",
        ),
        (lambda: loose.define("j", inputs=x, reference=3), "`j`: reference is a function", "3"),
        (lambda: loose.define("j", inputs=x, doc=3), "doc is a text", "3"),
        (
            lambda: loose.define("j", inputs=x, refrence=print),
            "no option refrence",
            "reference",
        ),
        (lambda: loose.define(3, inputs=x), "an operator: a name is a text", "3"),
        (lambda: loose.In("x", optional="yes"), "`x`: optional is True or False", "'yes'"),
        (lambda: loose.In("x", like=3), "`x`: like is a name", "3"),
        (lambda: loose.Out("y", dtype=["f32"]), "`y`: dtype is a name", "['f32']"),
        (lambda: loose.Out("y", broadcast=[3]), "broadcast is a tuple", "(3,)"),
        (lambda: loose.Capability(min="8.0"), r"min is like \(8, 0\)", "'8.0'"),
        (lambda: loose.Backward(print, save="x"), "save is a tuple of names", "'x'"),
        (lambda: op.kernel("k", dtypes=3)(_fill), "dtypes is a tuple", "3"),
        (lambda: op.kernel("k", contiguous=None)(_fill), "contiguous is True or False", "None"),
        (lambda: op.backward(save="x")(_gradient), "`right`: save is a tuple", "'x'"),
        (lambda: op.stand(3), "preferred by name", "(3,)"),
        (lambda: op.prefer([]).__enter__(), "preferred by name", "([],)"),
        (lambda: loose.replace("right"), "replaced by a contract", "'right'"),
    )
    for call, problem, got in wrong:
        with pytest.raises(OperatorDefinitionError, match=problem) as caught:
            call()
        assert got in str(caught.value.got)
        assert caught.value.fix
    for verb in (loose.get, loose.remove, loose.rollback, op.remove_kernel):
        with pytest.raises(UnknownNameError):
            verb([])
    catalog.OPERATORS.revoke(owned)


@pytest.mark.parametrize("verb", MAKERS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_a_definition_of_junk_is_refused_in_words(
    verb: str, data: st.DataObject, owned: str
) -> None:
    make, right, names = MAKERS[verb]
    fields = {**right, **data.draw(some(*names))}
    if verb == "remove" and isinstance(fields["name"], str) and fields["name"] in ops.names():
        return
    with suppress(OpenAutoGLMError):
        make(**fields)
    catalog.OPERATORS.revoke(owned)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(fields=some(*CLASS))
def test_a_class_of_junk_is_refused_in_words(fields: Fields, owned: str) -> None:
    with suppress(OpenAutoGLMError):
        ops.register(type("Junk", (ops.Operator,), {"forward": lambda _self, x: x, **fields}))
    catalog.OPERATORS.revoke(owned)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(name=JUNK, fields=some(*KERNEL), function=JUNK, save=JUNK, names=st.lists(JUNK, max_size=2))
def test_junk_on_an_operator_is_refused_in_words(
    name: Any,  # noqa: ANN401 - junk
    fields: Fields,
    function: Any,  # noqa: ANN401 - junk
    save: Any,  # noqa: ANN401 - junk
    names: Any,  # noqa: ANN401 - junk
    owned: str,
) -> None:
    calls: tuple[Callable[[ops.RegisteredOperator], object], ...] = (
        lambda op: op.kernel("k", **fields)(_fill),
        lambda op: op.kernel(name)(function),
        lambda op: op.backward(save=save)(_gradient),
        lambda op: op.backward()(function),
        lambda op: op.remove_kernel(name),
        lambda op: op.prefer(*names).__enter__(),
        lambda op: op.stand(*names),
    )
    for call in calls:
        for inputs in ([ops.In("x")], []):
            op = ops.define("junk", inputs=inputs, outputs=[ops.Out("y", shape=(1,), dtype="f32")])
            with suppress(OpenAutoGLMError):
                call(op)
            catalog.OPERATORS.revoke(owned)
