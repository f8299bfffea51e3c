"""Inputs made to be let in by the default rules: each is denied, or refused as no input."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openautoglm.errors import PolicyError, PolicyInputError
from openautoglm.policy import Policy

if TYPE_CHECKING:
    from collections.abc import Iterator

LEVELS = ("L0", "L1", "L2", "L3")
GOOD: dict[str, dict[str, object] | None] = {
    "manifest": {
        "id": "acme.upper",
        "version": "1.0",
        "isolation": "auto",
        "permissions": ["emit:acme.done"],
    },
    "signature": {"state": "trusted", "reasons": []},
    "report": {"ok": True, "plugin": "acme.upper", "version": "1.0"},
    "requested": {"isolation": "L0", "switches": []},
    "installed": {"is_downgrade": False},
    "host": {"sandbox": True, "wasm": True},
}
ODD: tuple[object, ...] = (
    *(None, True, False, 0, 1, -1, 1.5, "", "true", "L0", "L2", "trusted", "TRUSTED", "trusted "),
    *([], ["trusted"], {}, {"state": "trusted"}, {"isolation": "L2"}, "*", "emit:*", ["emit:*"]),
    *("acme.upper", "1.0", "unsigned-in-process", ["unsigned-in-process"], "openautoglm.x"),
    *(
        "\u0000",
        "trusted\u0000",
        "ｔｒｕｓｔｅｄ",
        "L2\n",
        "\n",
        "emit:acme.x\nemit:*",
        2**63,
        -(2**70),
    ),
)


@pytest.fixture(scope="module")
def policy() -> Iterator[Policy]:
    with Policy.default() as loaded:
        yield loaded


def is_let_in(policy: Policy, document: dict[str, object]) -> bool:
    try:
        return policy.decide(document).allow
    except (PolicyInputError, PolicyError):
        return False


def test_the_input_all_attacks_start_from_is_allowed(policy: Policy) -> None:
    assert is_let_in(policy, dict(GOOD))


@pytest.mark.parametrize("section", [name for name in GOOD if name != "host"])
def test_a_part_that_is_missing_or_odd_denies(policy: Policy, section: str) -> None:
    assert not is_let_in(policy, {k: v for k, v in GOOD.items() if k != section})
    fine = {"report": None, "signature": {"state": "trusted"}, "requested": {"isolation": "L2"}}
    for odd in (*ODD, "x" * 1000, [[]], [None], {"": ""}):
        if odd != fine.get(section, ()):
            assert not is_let_in(policy, {**GOOD, section: odd}), odd


@pytest.mark.parametrize(
    ("section", "key", "fine"),
    [
        ("manifest", "id", ()),
        ("manifest", "version", ("1.0",)),
        ("manifest", "isolation", ("L0", "auto")),
        ("manifest", "permissions", ([], ["emit:*"])),
        ("signature", "state", ("trusted",)),
        ("report", "ok", (True,)),
        ("report", "plugin", ("acme.upper",)),
        ("report", "version", ("1.0",)),
        ("requested", "isolation", ("L0", "L2")),
        ("installed", "is_downgrade", (False,)),
    ],
)
def test_a_value_that_is_odd_denies(
    policy: Policy, section: str, key: str, fine: tuple[object, ...]
) -> None:
    for odd in ODD:
        document = deepcopy(GOOD)
        part = document[section]
        assert part is not None
        part[key] = odd
        expected = any(odd == good and type(odd) is type(good) for good in fine)
        if key == "id" and odd == "acme.upper":
            expected = True
        assert is_let_in(policy, dict(document)) is expected, odd


DRAWN = {
    "state": st.sampled_from(("untrusted", "unsigned", "refused", *ODD)),
    "isolation": st.sampled_from((*LEVELS, *ODD)),
    "asked": st.sampled_from(("auto", *LEVELS, *ODD)),
    "report": st.sampled_from((None, GOOD["report"], {"ok": False}, *ODD)),
    "sandbox": st.sampled_from((True, *ODD)),
}


@settings(max_examples=150, deadline=None)
@given(
    drawn=st.fixed_dictionaries(DRAWN),
    permissions=st.lists(st.sampled_from(("emit:acme.x", "call:model.generate", *ODD)), max_size=3),
)
def test_without_trust_nothing_runs_outside_a_sandbox_or_speaks_for_others(
    policy: Policy, drawn: dict[str, object], permissions: list[object]
) -> None:
    manifest = {"id": "acme.upper", "version": "1.0", "isolation": drawn["asked"]}
    document: dict[str, object] = {
        **GOOD,
        "manifest": {**manifest, "permissions": permissions},
        "signature": {"state": drawn["state"]},
        "report": drawn["report"],
        "requested": {"isolation": drawn["isolation"], "switches": []},
        "host": {"sandbox": drawn["sandbox"], "wasm": drawn["sandbox"]},
    }
    if not is_let_in(policy, document) or drawn["state"] == "trusted":
        return
    assert drawn["state"] in {"untrusted", "unsigned"}
    assert drawn["isolation"] in {"L2", "L3"}
    assert drawn["sandbox"] is True
    assert drawn["report"] in (None, GOOD["report"])
    assert set(map(str, permissions)) <= {"emit:acme.x", "call:model.generate"}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from((*GOOD, "ok", "state", "id")) | st.text(), inner)
    ),
    max_leaves=20,
)


@settings(max_examples=100, deadline=None)
@given(document=st.dictionaries(st.sampled_from(tuple(GOOD)), JSON))
def test_no_made_up_input_is_let_in(policy: Policy, document: dict[str, object]) -> None:
    assert not is_let_in(policy, document)
