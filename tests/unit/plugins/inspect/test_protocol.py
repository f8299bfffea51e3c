"""A signature fits another where every call of the one goes through the other."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openautoglm.plugins.inspect.api import Parameter
from openautoglm.plugins.inspect.protocol import mismatch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from openautoglm.plugins.inspect.api import How


HOW: Final[Mapping[object, How]] = {
    inspect.Parameter.POSITIONAL_ONLY: "positional",
    inspect.Parameter.POSITIONAL_OR_KEYWORD: "either",
    inspect.Parameter.KEYWORD_ONLY: "keyword",
    inspect.Parameter.VAR_POSITIONAL: "any-positional",
    inspect.Parameter.VAR_KEYWORD: "any-keyword",
}


def parameters(function: Callable[..., object]) -> tuple[Parameter, ...]:
    return tuple(
        Parameter(name=p.name, how=HOW[p.kind], is_required=p.default is p.empty)
        for p in inspect.signature(function).parameters.values()
    )


def made(source: str) -> Callable[..., object]:
    found: dict[str, Any] = {}
    exec(f"def f({source}): return 1", found)  # noqa: S102 - our own signatures
    return found["f"]  # type: ignore[no-any-return]  # the function made above


NAMES = ("a", "b", "c", "d")


@st.composite
def signatures(draw: st.DrawFn) -> str:
    """Draw what stands between the parentheses of a function."""
    names = draw(st.lists(st.sampled_from(NAMES), unique=True, max_size=4))
    cut = draw(st.integers(0, len(names)))
    defaults = draw(st.integers(0, cut))
    places = [n if i < cut - defaults else f"{n}=0" for i, n in enumerate(names[:cut])]
    by_name = [n + draw(st.sampled_from(("", "=0"))) for n in names[cut:]]
    star = ["*args"] if draw(st.booleans()) else (["*"] if by_name else [])
    more = ["**more"] if draw(st.booleans()) else []
    return ", ".join([*places, *star, *by_name, *more])


@given(st.lists(st.sampled_from(NAMES), unique=True, max_size=3), st.integers(0, 3), signatures())
def test_a_fit_is_a_call_that_goes_through(names: list[str], cut: int, other: str) -> None:
    places, by_name = names[:cut], names[cut:]
    star = ["*"] if by_name else []
    expected = parameters(made(", ".join([*places, *star, *by_name])))
    function = made(other)

    why = mismatch(expected, parameters(function))

    if why:
        with pytest.raises(TypeError):
            function(*[0] * len(places), **dict.fromkeys(by_name, 0))
    else:
        function(*[0] * len(places), **dict.fromkeys(by_name, 0))


@pytest.mark.parametrize(
    ("found", "why"),
    [
        ("path", ""),
        ("where", ""),
        ("*args", ""),
        ("path, more=1", ""),
        ("path, user", "it needs `user`, which the host does not pass"),
        ("*, path", "it takes `path` by name only"),
        ("", "it takes `path` not at all"),
    ],
)
def test_the_reason_names_the_parameter(found: str, why: str) -> None:
    assert mismatch(parameters(made("path")), parameters(made(found))) == why
