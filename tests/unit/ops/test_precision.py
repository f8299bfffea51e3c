from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openautoglm.errors import OperatorDefinitionError
from openautoglm.ops.dtypes import EVERY_DTYPE
from openautoglm.ops.opdef import POLICIES, OpDef, Policy
from openautoglm.ops.precision import (
    CASTABLE,
    PolicyTable,
    cast_targets,
    current_table,
    override,
    using,
)

LINEAR = OpDef.from_schema("linear(Tensor x, Tensor weight, Tensor? bias) -> Tensor y like x")
LOSS = OpDef.from_schema("cross_entropy(Tensor x[b, c], Tensor<i64> t[b]) -> Tensor y[b]")
OURS = OpDef.from_schema("ours(Tensor x, Tensor y) -> Tensor")


@pytest.mark.parametrize(
    ("policy", "dtypes", "autocast", "targets"),
    [
        ("lower", ("f32", "f16", "bf16", "f64"), "bf16", ("bf16", "bf16", None, None)),
        ("lower", ("f32", "i64", None, "bool"), "f16", ("f16", None, None, None)),
        ("fp32", ("f32", "f16", "bf16", "f64", "i8"), "f16", (None, "f32", "f32", None, None)),
        ("promote", ("f16", "f32"), "f16", ("f32", None)),
        ("promote", ("f16", "f16"), "bf16", (None, None)),
        ("promote", ("f16", "bf16"), "bf16", ("f32", "f32")),
        ("promote", ("bf16", "f32", "f64"), "bf16", ("f64", "f64", None)),
        ("promote", ("bf16", "i64", None), "bf16", (None, None, None)),
        ("promote", ("f8_e4m3fn", "f32"), "bf16", (None, None)),
        ("keep", ("f16", "f32"), "f16", (None, None)),
        ("fp32", ("f16", "bf16"), None, (None, None)),
        (("lower", "fp32", "keep"), ("f32", "f16", "f16"), "bf16", ("bf16", "f32", None)),
        (("promote", "promote", "keep"), ("f16", "f16", "f32"), "f16", (None, None, None)),
    ],
)
def test_a_policy_says_what_each_argument_is_cast_to(
    policy: Policy | tuple[Policy, ...],
    dtypes: tuple[str | None, ...],
    autocast: str | None,
    targets: tuple[str | None, ...],
) -> None:
    assert cast_targets(policy, dtypes, autocast) == targets


@given(
    st.sampled_from(POLICIES),
    st.lists(st.none() | st.sampled_from(EVERY_DTYPE), max_size=5),
    st.sampled_from(["f16", "bf16", None]),
)
def test_only_f16_bf16_and_f32_are_ever_cast_and_a_second_time_nothing_is(
    policy: Policy, dtypes: list[str | None], autocast: str | None
) -> None:
    targets = cast_targets(policy, dtypes, autocast)
    for dtype, target in zip(dtypes, targets, strict=True):
        assert target is None or dtype in CASTABLE
        assert target is None or target != dtype
    after = [target or dtype for dtype, target in zip(dtypes, targets, strict=True)]
    assert cast_targets(policy, after, autocast) == (None,) * len(dtypes)


@pytest.mark.parametrize(
    ("text", "amp", "policy"),
    [
        ("matmul(Tensor x) -> Tensor", None, "lower"),
        ("conv2d(Tensor x) -> Tensor", None, "lower"),
        ("attention(Tensor x) -> Tensor", None, "lower"),
        ("rms_norm(Tensor x) -> Tensor", None, "fp32"),
        ("batch_norm(Tensor x) -> Tensor", None, "fp32"),
        ("softmax_cross_entropy(Tensor x) -> Tensor", None, "fp32"),
        ("add(Tensor x) -> Tensor", None, "promote"),
        ("unheard_of(Tensor x) -> Tensor", None, "keep"),
        ("matmul(Tensor x) -> Tensor", "keep", "keep"),
        ("unheard_of(Tensor x) -> Tensor", "lower", "lower"),
    ],
)
def test_an_operators_own_policy_goes_before_the_default_of_its_name(
    text: str, amp: Policy | None, policy: Policy
) -> None:
    assert PolicyTable().policies(OpDef.from_schema(text, amp=amp)) == (policy,)


def test_an_override_goes_before_the_operators_own_policy() -> None:
    table = PolicyTable().overriding({"ours": "fp32"})
    assert table.policies(OpDef.from_schema(OURS.declaration(), amp="lower")) == ("fp32", "fp32")
    assert table.policies(LINEAR) == ("lower", "lower", "lower")


def test_an_override_by_argument_keeps_the_arguments_it_does_not_name() -> None:
    table = PolicyTable().overriding({"linear": {"weight": "lower"}})
    assert table.policies(LINEAR) == ("keep", "lower", "keep")


def test_overrides_nest_and_end_with_their_block() -> None:
    with override({"linear": "fp32"}), override({"ours": "lower"}):
        assert current_table().policies(LINEAR)[0] == "fp32"
        assert current_table().policies(OURS)[0] == "lower"
    assert current_table().policies(LINEAR)[0] == "lower"
    assert current_table().policies(OURS)[0] == "keep"


def test_an_override_ends_when_its_block_fails() -> None:
    with pytest.raises(ZeroDivisionError), override({"linear": "fp32"}):
        raise ZeroDivisionError
    assert current_table().policies(LINEAR)[0] == "lower"


def test_an_override_is_of_its_own_thread() -> None:
    seen: list[Policy] = []
    with override({"linear": "fp32"}):
        thread = threading.Thread(target=lambda: seen.extend(current_table().policies(LINEAR)))
        thread.start()
        thread.join()
    assert seen == ["lower"] * 3


def test_a_run_may_bring_a_table_of_its_own() -> None:
    with override({"ours": "fp32"}), using(PolicyTable(defaults={"ours": "promote"})):
        assert current_table().policies(OURS) == ("promote", "promote")
        assert current_table().policies(LINEAR)[0] == "keep"


def test_a_table_cannot_be_changed_from_outside() -> None:
    choices: dict[str, Policy] = {"ours": "fp32"}
    table = PolicyTable(overrides=choices)
    choices["ours"] = "lower"
    assert table.policies(OURS)[0] == "fp32"


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"linear": "half"}, "policy of `linear`: an autocast policy is lower, fp32, promote or"),
        ({"linear": {"x": "half"}}, "an autocast policy is lower"),
        ({"linear": None}, "autocast policy of `linear`: there is none"),
        ({"two words": "lower"}, "the name cannot be used"),
        ({"liner": "lower"}, r"which is no operator\n  got: .*\n  fix: did you mean `linear`\?"),
    ],
)
def test_an_override_that_cannot_be_is_refused_when_it_is_made(
    choices: dict[str, Policy], message: str
) -> None:
    with (
        pytest.raises(OperatorDefinitionError, match=message),
        override(choices, known=("linear", "ours", "two words")),
    ):
        pass


def test_an_override_of_an_input_that_there_is_not_is_refused_at_the_call() -> None:
    table = PolicyTable().overriding({"linear": {"input": "fp32"}})
    with pytest.raises(OperatorDefinitionError, match="policy for input, which is no input"):
        table.policies(LINEAR)


def test_integers_next_to_a_loss_are_left_alone() -> None:
    policies = PolicyTable().policies(LOSS)
    assert cast_targets(policies, ("bf16", "i64"), "bf16") == ("f32", None)
