from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import pytest

from openautoglm.errors import OperatorDefinitionError
from openautoglm.ops.arguments import Attr, In, Out

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize("name", ["", "2x", "x y", "größe", "lambda", "f32", "out", "self", "__x"])
def test_a_name_that_cannot_be_a_parameter_is_refused(name: str) -> None:
    for make in (lambda: In(name), lambda: Attr(name, float)):
        with pytest.raises(OperatorDefinitionError, match="the name cannot be used") as caught:
            make()
        assert repr(name) in str(caught.value)


@pytest.mark.parametrize(
    ("make", "problem", "got"),
    [
        (lambda: In(3), "a name is a text", "3"),  # type: ignore[arg-type] # the mistake
        (lambda: Attr(3, float), "a name is a text", "3"),  # type: ignore[arg-type] # the mistake
        (lambda: Out(None), "a name is a text", "None"),  # type: ignore[arg-type] # the mistake
        (lambda: In("x", dtypes="f32"), "dtypes are a tuple", "'f32'"),  # type: ignore[arg-type] # the mistake
        (lambda: In("x", dtypes=([],)), "dtypes are distinct names", "[]"),  # type: ignore[arg-type] # the mistake
        (lambda: In("x", shape="n"), "a shape is a tuple", "'n'"),  # type: ignore[arg-type] # the mistake
        (lambda: Out("x", shape=3), "a shape is a tuple", "3"),  # type: ignore[arg-type] # the mistake
        (lambda: Out("x", broadcast="xy"), "broadcast is a tuple", "'xy'"),  # type: ignore[arg-type] # the mistake
        (lambda: Attr("m", str, choices="abc"), "choices are a tuple", "'abc'"),  # type: ignore[arg-type] # the mistake
        (lambda: Attr("m", int, choices=([],)), "every choice is of type int", "[]"),  # type: ignore[arg-type] # the mistake
        (lambda: Attr("m", []), "the type is float", "[]"),  # type: ignore[arg-type] # the mistake
        (lambda: Attr("m", int, low="a"), "a limit is a finite number", "low='a'"),  # type: ignore[arg-type] # the mistake
    ],
)
def test_what_is_of_another_kind_is_refused_in_words(
    make: Callable[[], object], problem: str, got: str
) -> None:
    with pytest.raises(OperatorDefinitionError, match=problem) as caught:
        make()
    assert got in str(caught.value.got)
    assert caught.value.fix


def test_an_output_may_be_called_out() -> None:
    assert Out("out").name == "out"


@pytest.mark.parametrize(
    "shape",
    [("n", "..."), ("...", "..."), (-1,), (1.5,), ("n-1",), (True,), ("",), (2**63,)],
)
def test_a_size_is_a_symbol_a_number_or_leading_dots(shape: tuple[str | int, ...]) -> None:
    with pytest.raises(OperatorDefinitionError, match="input `x`: a size is"):
        In("x", shape=shape)


def test_an_unknown_dtype_is_named() -> None:
    with pytest.raises(OperatorDefinitionError, match="fix: drop float32"):
        In("x", dtypes=("f16", "float32"))


def test_a_dtype_named_twice_is_refused() -> None:
    with pytest.raises(OperatorDefinitionError, match="name each once"):
        In("x", dtypes=("f16", "f16"))


def test_a_list_cannot_be_optional() -> None:
    with pytest.raises(OperatorDefinitionError, match="a list of arrays cannot be optional"):
        In("x", many=True, optional=True)


def test_sequences_become_tuples_so_that_the_value_stays_frozen() -> None:
    given = In("x", dtypes=["f32"], shape=["n"])  # type: ignore[arg-type] # what a person writes
    assert (given.dtypes, given.shape) == (("f32",), ("n",))
    assert hash(given) == hash(In("x", dtypes=("f32",), shape=("n",)))


@pytest.mark.parametrize(
    ("attr", "value", "read"),
    [
        (Attr("a", float), 1, 1.0),
        (Attr("a", float), Fraction(1, 2), 0.5),
        (Attr("a", float), True, None),
        (Attr("a", float), "1", None),
        (Attr("a", float), 10**400, None),
        (Attr("a", int), 3, 3),
        (Attr("a", int), 3.0, None),
        (Attr("a", int), False, None),
        (Attr("a", int), 2**63, None),
        (Attr("a", bool), True, True),
        (Attr("a", bool), 1, None),
        (Attr("a", str), "x", "x"),
        (Attr("a", str), b"x", None),
        (Attr("a", float, low=0, high=1), 0, 0.0),
        (Attr("a", float, low=0, high=1), 1.5, None),
        (Attr("a", float, low=0, high=1), float("nan"), None),
        (Attr("a", float, high=1), float("nan"), None),
        (Attr("a", float), float("inf"), float("inf")),
        (Attr("a", int, low=1), 0, None),
        (Attr("a", str, choices=("none", "tanh")), "tanh", "tanh"),
        (Attr("a", str, choices=("none", "tanh")), "erf", None),
        (Attr("a", int, choices=(1, 2)), 3, None),
    ],
)
def test_an_attribute_reads_what_it_allows_and_nothing_else(
    attr: Attr, value: object, read: object
) -> None:
    found = attr.read(value)
    assert found == read
    assert type(found) is type(read)


@pytest.mark.parametrize(
    ("attr", "words"),
    [
        (Attr("a", float), "a float"),
        (Attr("a", int, low=1), "an int of at least 1"),
        (Attr("a", float, high=1), "a float of at most 1"),
        (Attr("a", float, low=0, high=1), "a float between 0 and 1"),
        (Attr("a", str, choices=("none", "tanh")), 'one of "none" or "tanh"'),
    ],
)
def test_an_attribute_says_what_it_expects(attr: Attr, words: str) -> None:
    assert attr.expected == words


def test_a_default_takes_the_attributes_own_type() -> None:
    assert repr(Attr("a", float, 1).default) == "1.0"


def test_a_default_out_of_range_is_refused() -> None:
    with pytest.raises(
        OperatorDefinitionError,
        match=r"must be a float between 0 and 1, finite and not subnormal\n  got: 2",
    ):
        Attr("p", float, 2, low=0, high=1)


def test_a_default_of_another_type_is_refused() -> None:
    with pytest.raises(OperatorDefinitionError, match="attribute `p`: the default must be an int"):
        Attr("p", int, "2")


@pytest.mark.parametrize("value", ["inf", "-inf", "nan", "5e-324"])
def test_a_default_is_one_that_torchs_schema_can_write(value: str) -> None:
    with pytest.raises(OperatorDefinitionError, match=f"finite and not subnormal\n  got: {value}"):
        Attr("p", float, float(value))


def test_limits_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(OperatorDefinitionError, match="a bool has no range"):
        Attr("p", bool, low=0)
    with pytest.raises(OperatorDefinitionError, match="the range is empty"):
        Attr("p", int, low=2, high=1)
    with pytest.raises(OperatorDefinitionError, match="a limit is a finite number"):
        Attr("p", float, low=float("nan"))
    with pytest.raises(OperatorDefinitionError, match="exclude each other"):
        Attr("p", int, low=1, choices=(1, 2))
    with pytest.raises(OperatorDefinitionError, match="distinct, and at least one"):
        Attr("p", int, choices=())
    with pytest.raises(OperatorDefinitionError, match="every choice is of type int"):
        Attr("p", int, choices=(1, "2"))


def test_an_attribute_is_a_plain_value() -> None:
    with pytest.raises(OperatorDefinitionError, match="float, int, bool or str\n  got: list"):
        Attr("p", list)  # type: ignore[arg-type] # what is refused


def test_one_rule_says_the_shape_of_an_output() -> None:
    with pytest.raises(OperatorDefinitionError, match="got: like and shape"):
        Out("y", like="x", shape=("n",))
