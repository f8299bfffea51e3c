"""The table of a version's life, every pair of it."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, get_args

import pytest

from openautoglm.bus.events import PluginStateName
from openautoglm.errors import PluginLifeError
from openautoglm.plugins.rollout.states import ALLOWED, FIRST, STATES, Life

if TYPE_CHECKING:
    from openautoglm.plugins.rollout.states import State

EXPECTED = {
    ("discovered", "verified"),
    ("discovered", "rejected"),
    ("verified", "validated"),
    ("verified", "rejected"),
    ("validated", "staged"),
    ("validated", "rejected"),
    ("staged", "admitted"),
    ("staged", "rejected"),
    ("admitted", "canary"),
    ("admitted", "active"),
    ("admitted", "rolled-back"),
    ("canary", "active"),
    ("canary", "rolled-back"),
    ("canary", "quarantined"),
    ("active", "draining"),
    ("active", "rolled-back"),
    ("active", "quarantined"),
    ("draining", "active"),
    ("draining", "retired"),
    ("quarantined", "rolled-back"),
    ("quarantined", "retired"),
    ("rolled-back", "retired"),
}


def at(state: State) -> Life:
    """Return a life that came to a state by some way of the table."""
    life, ways = Life("acme.thing", "1.0"), _ways()
    for step in ways[state]:
        life.go(step, "on the way")
    assert life.state == state
    return life


def _ways() -> dict[State, tuple[State, ...]]:
    found: dict[State, tuple[State, ...]] = {"discovered": ()}
    while True:
        more = {b: (*found[a], b) for a in found for b in ALLOWED[a] if b not in found}
        if not more:
            return found
        found.update(more)


def test_every_state_can_be_come_to() -> None:
    assert set(_ways()) == set(STATES) == set(ALLOWED)


@pytest.mark.parametrize(("old", "new"), list(itertools.product(STATES, STATES)))
def test_a_version_goes_the_ways_of_the_table_and_no_other(old: State, new: State) -> None:
    life = at(old)
    if (old, new) in EXPECTED:
        life.go(new, "a test")
        assert life.state == new
    else:
        with pytest.raises(PluginLifeError, match=f"from {old} to {new}"):
            life.go(new, "a test")
        assert life.state == old


def test_only_the_ends_are_ends() -> None:
    assert {state for state in STATES if at(state).is_over} == {"rejected", "retired"}


def test_a_first_version_becomes_active() -> None:
    life = Life("acme.thing", "1.0")
    for state in FIRST:
        life.go(state, "a test")
    assert life.state == "active"


def test_the_bus_knows_every_state() -> None:
    assert set(STATES) <= set(get_args(PluginStateName))


def test_each_change_is_told_once_it_holds() -> None:
    told: list[tuple[str, ...]] = []
    life = Life("acme.thing", "1.0", lambda old, new, reason: told.append((old, new, reason)))
    life.go("verified", "signed")
    with pytest.raises(PluginLifeError):
        life.go("active", "too early")
    assert told == [("discovered", "verified", "signed")]
