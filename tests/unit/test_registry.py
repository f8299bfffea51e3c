from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openautoglm.errors import NameTakenError, NoOwnerError, UnknownNameError
from openautoglm.registry import CORE_OWNER, Registry, owned_by


def test_revoking_an_owner_removes_all_it_added_and_nothing_else() -> None:
    colours: Registry[int] = Registry("colour")
    with owned_by("plugin.a"):
        colours.add("red", 1)
        colours.add("blue", 2)
    with owned_by("plugin.b"):
        colours.add("green", 3)
    assert colours.revoke("plugin.a") == ("blue", "red")
    assert colours.names() == ("green",)
    assert colours.revoke("plugin.a") == ()


def test_a_taken_name_is_an_error_and_the_first_entry_stays() -> None:
    colours: Registry[int] = Registry("colour")
    with owned_by("plugin.a"):
        colours.add("red", 1)
    with owned_by("plugin.b"), pytest.raises(NameTakenError, match=r"plugin.b adds what plugin.a"):
        colours.add("red", 2)
    assert colours.get("red") == 1


def test_nothing_is_added_without_an_owner() -> None:
    colours: Registry[int] = Registry("colour")
    with pytest.raises(NoOwnerError, match="`red`"):
        colours.add("red", 1)
    assert colours.names() == ()


def test_an_unknown_name_lists_what_there_is_and_the_nearest() -> None:
    colours: Registry[int] = Registry("colour")
    with owned_by("me"):
        colours.add("green", 3)
    with pytest.raises(UnknownNameError, match=r"known: green\n  fix: did you mean `green`\?"):
        colours.get("gren")


def test_builtins_are_loaded_once_at_the_first_look_and_belong_to_the_core() -> None:
    loads: list[str] = []

    def load(registry: Registry[int]) -> None:
        loads.append("once")
        registry.add("red", 1)

    colours: Registry[int] = Registry("colour", builtins=load)
    assert loads == []
    assert colours.entry("red").owner == CORE_OWNER
    assert colours.names() == ("red",)
    assert loads == ["once"]


def test_builtins_that_fail_to_load_are_tried_again_at_the_next_look() -> None:
    def load(registry: Registry[int]) -> None:
        registry.add("red", 1)
        if not fixed:
            raise ImportError("half way")

    fixed: list[str] = []
    colours: Registry[int] = Registry("colour", builtins=load)
    for _ in range(2):
        with pytest.raises(ImportError, match="half way"):
            colours.names()
    fixed.append("yes")
    assert colours.names() == ("red",)


def test_an_owner_inside_an_owner_ends_with_its_block() -> None:
    colours: Registry[int] = Registry("colour")
    with owned_by("outer"):
        with owned_by("inner"):
            colours.add("red", 1)
        colours.add("blue", 2)
    assert colours.entry("red").owner == "inner"
    assert colours.entry("blue").owner == "outer"


def test_threads_that_add_at_once_lose_nothing() -> None:
    numbers: Registry[int] = Registry("number")
    start = threading.Barrier(8)

    def add(owner: int) -> None:
        start.wait()
        with owned_by(f"thread-{owner}"):
            for i in range(50):
                numbers.add(f"{owner}-{i}", i)

    threads = [threading.Thread(target=add, args=(k,)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(numbers.names()) == 8 * 50


@given(st.dictionaries(st.text(), st.sampled_from(["a", "b", "c"])))
def test_any_names_go_in_and_come_out_by_owner(owners: dict[str, str]) -> None:
    entries: Registry[str] = Registry("entry")
    for name, owner in owners.items():
        with owned_by(owner):
            entries.add(name, owner)
    assert entries.revoke("a") == tuple(sorted(n for n, o in owners.items() if o == "a"))
    assert entries.names() == tuple(sorted(n for n, o in owners.items() if o != "a"))
