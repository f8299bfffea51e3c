from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING

import pytest

from openautoglm.ops.arguments import ArraySpec, Attr, In, Out
from openautoglm.ops.opdef import Backward, OpDef

if TYPE_CHECKING:
    from collections.abc import Callable


def scaled(by: float) -> Callable[[float], float]:
    return lambda x: x * by


def base(**changes: object) -> OpDef:
    settings: dict[str, object] = {
        "inputs": [In("x")],
        "attrs": [Attr("a", float, 1.0)],
        "reference": lambda x, a: x * a,
        "amp": "fp32",
        "backward": Backward(lambda g, a: g * a),
    }
    return OpDef("op", **{**settings, **changes})  # type: ignore[arg-type] # any of its fields


def test_the_hash_is_sha256_in_hex_and_the_same_for_the_same_definition() -> None:
    assert re.fullmatch("[0-9a-f]{64}", base().contract_hash)
    assert base().contract_hash == base().contract_hash


def test_documentation_is_no_part_of_the_contract() -> None:
    def bare(x: float, a: float) -> float:
        return x * a

    def told(x: float, a: float) -> float:
        """Multiply."""
        return x * a

    assert base(doc="scale").contract_hash == base().contract_hash
    assert base(reference=bare).contract_hash == base(reference=told).contract_hash


@pytest.mark.parametrize(
    "changes",
    [
        {"version": 2},
        {"inputs": [In("z")]},
        {"inputs": [In("x", dtypes=("f32",))]},
        {"inputs": [In("x", layout="contiguous")]},
        {"attrs": [Attr("a", float, 2.0)]},
        {"attrs": [Attr("a", float, 1.0, low=0)]},
        {"attrs": [Attr("a", float)]},
        {"outputs": [Out("out", dtype="f32")]},
        {"reference": lambda x, a: x + a},
        {"reference": lambda x, a: x * a * 2},
        {"reference": lambda x, a: x.mul(a)},
        {"reference": None},
        {"amp": "lower"},
        {"amp": {"x": "fp32"}},
        {"backward": Backward(lambda g, a: g * a * 2)},
        {"backward": Backward(lambda g, x, a: (g * a, x)[0], save=("x",))},
        {"backward": None},
        {"infer": lambda specs, attrs: [ArraySpec((), "f32") for _ in (specs, attrs)]},
    ],
)
def test_every_other_change_is_another_contract(changes: dict[str, object]) -> None:
    assert base(**changes).contract_hash != base().contract_hash


def hash_of(reference: Callable[..., object]) -> str:
    return OpDef("op", inputs=[In("x")], reference=reference).contract_hash


def test_values_a_function_closes_over_are_part_of_it() -> None:
    assert hash_of(scaled(2.0)) == hash_of(scaled(2.0))
    assert hash_of(scaled(2.0)) != hash_of(scaled(3.0))


def test_bound_arguments_defaults_and_sets_are_part_of_it() -> None:
    def power(n: int, x: float, *, base: float = 1.0) -> float:
        return base * x**n

    def other(n: int, x: float, *, base: float = 2.0) -> float:
        return base * x**n

    def member(x: str) -> bool:
        return x in {"a", "b", "c"}

    assert hash_of(partial(power, 2)) != hash_of(partial(power, 3))
    assert hash_of(partial(power, 2)) != hash_of(partial(other, 2))
    assert hash_of(member) == hash_of(member)
    assert hash_of(abs) != hash_of(len)


def test_a_function_that_calls_itself_has_a_hash() -> None:
    def down(x: int) -> int:
        return down(x - 1) if x > 0 else 0

    assert hash_of(down) == hash_of(down)


def test_a_function_that_has_run_often_keeps_its_hash() -> None:
    function = scaled(2.0)
    before = hash_of(function)
    for i in range(2000):  # the interpreter specialises the code it runs
        function(float(i))
    assert hash_of(function) == before
