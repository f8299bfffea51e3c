"""Patterns over names, and the table of permissions made of them."""

from __future__ import annotations

import fnmatch
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openautoglm.bus import PermissionTable
from openautoglm.bus.names import check_pattern, check_source, check_type, matcher
from openautoglm.errors import MessageError

NAMES = st.text("ab.", min_size=1, max_size=8)
PATTERNS = (
    st.text("ab.*", min_size=1, max_size=8)
    .filter(lambda text: "**" not in text and text[0] in "ab*")
    .filter(lambda text: text.count("*") <= 4)
)


@given(PATTERNS, NAMES)
def test_a_star_stands_for_any_characters_and_nothing_else_is_special(
    pattern: str, name: str
) -> None:
    assert matcher(pattern)(name) == fnmatch.fnmatchcase(name, pattern)


@given(PATTERNS, PATTERNS, NAMES)
def test_who_may_subscribe_to_a_pattern_may_subscribe_to_all_it_takes(
    allowed: str, asked: str, name: str
) -> None:
    table = PermissionTable.of({"p": [f"subscribe:{allowed}"]})
    if table.allows("p", "subscribe", asked) and matcher(asked)(name):
        assert table.allows("p", "subscribe", name)


@given(NAMES, NAMES)
def test_nothing_is_allowed_that_no_line_allows(source: str, type_: str) -> None:
    table = PermissionTable.of({"plugin.auth": ["emit:config.*"]})
    assert not table.allows(source, "emit", type_)
    assert not PermissionTable().allows(source, "emit", type_)


def test_a_line_allows_its_verb_its_types_and_its_sources_alone() -> None:
    table = PermissionTable.of({"acme.*": ["emit:acme.*"], "acme.upper": ["call:model.generate"]})
    assert table.allows("acme.upper", "emit", "acme.done")
    assert table.allows("acme.lower", "emit", "acme.done")
    assert table.allows("acme.upper", "call", "model.generate")
    assert not table.allows("acme.lower", "call", "model.generate")
    assert not table.allows("acme.upper", "subscribe", "acme.done")
    assert not table.allows("acme.upper", "respond", "model.generate")
    assert not table.allows("acme.upper", "emit", "config.update")
    assert not table.allows("other", "emit", "acme.done")
    assert not table.allows("xacme.upper", "emit", "acme.done")


def test_a_star_is_not_allowed_by_what_takes_less() -> None:
    table = PermissionTable.of({"p": ["subscribe:config.*"]})
    assert table.allows("p", "subscribe", "config.*")
    assert table.allows("p", "subscribe", "config.a.*")
    assert not table.allows("p", "subscribe", "*")
    assert not table.allows("p", "subscribe", "c*")


def test_the_host_may_do_everything() -> None:
    assert PermissionTable().allows("core", "emit", "anything.at.all")
    assert not PermissionTable().allows("core.plugin", "emit", "anything")


def test_a_table_does_not_change_but_makes_another() -> None:
    none = PermissionTable()
    some = none.granting("p", ["emit:a.*"])
    assert some.allows("p", "emit", "a.b")
    assert not none.allows("p", "emit", "a.b")
    assert not some.without("p").allows("p", "emit", "a.b")
    assert some.of_source("p") == ("emit:a.*",)


def test_strangers_do_not_make_the_answers_grow_without_end() -> None:
    table = PermissionTable()
    for number in range(10_000):
        table.allows("p", "emit", f"t{number}")
    assert len(table._answers) <= 4096


@pytest.mark.parametrize(
    "text", ["emit", "shout:a.*", "emit:", ":a", "emit:a b", "emit:a**", "", 5, None, ["emit:a"]]
)
def test_what_is_no_permission_is_refused_in_words(text: object) -> None:
    with pytest.raises(MessageError):
        PermissionTable.of({"p": [text]})  # type: ignore[list-item]  # what is refused


@pytest.mark.parametrize(
    "name", ["", ".", "a.", ".a", "a..b", "a b", "a\n", "ü", "a" * 129, 7, None]
)
def test_what_is_no_type_is_refused_with_an_example(name: object) -> None:
    with pytest.raises(MessageError, match=re.escape("config.update")):
        check_type(name)


def test_sources_may_be_addresses() -> None:
    assert check_source("urn:acme/upper@1.2") == "urn:acme/upper@1.2"


def test_a_pattern_has_few_stars() -> None:
    with pytest.raises(MessageError, match="stars"):
        check_pattern("*a*a*a*a*a")
