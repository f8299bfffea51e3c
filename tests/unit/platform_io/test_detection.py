"""The choice of a driver: a table of platforms, the reasons, and what is imported."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from openautoglm.errors import NameTakenError, PlatformError
from openautoglm.platform_io import (
    Driver,
    add_driver,
    choose,
    detect,
    explain,
    forget,
    remove_driver,
    revoke_drivers,
)
from openautoglm.platform_io.local import LocalIO
from openautoglm.platform_io.memory import MemoryIO

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openautoglm.platform_io import Facts


@pytest.fixture(autouse=True)
def undo() -> Iterator[None]:
    yield
    remove_driver("ram")
    forget()


def always(_: Facts) -> None:
    return None


RAM = Driver(name="ram", home="openautoglm.platform_io.memory:MemoryIO", refuses=always)


@pytest.mark.parametrize(
    ("sys_platform", "os_name", "expected"),
    [
        ("linux", "posix", "local"),
        ("darwin", "posix", "local"),
        ("freebsd14", "posix", "local"),
        ("android", "posix", "local"),
        ("win32", "nt", "local"),
        ("cygwin", "posix", "local"),
        ("emscripten", "posix", "emscripten"),
        ("wasi", "posix", "wasi"),
    ],
)
def test_the_facts_decide(sys_platform: str, os_name: str, expected: str) -> None:
    assert choose(sys_platform=sys_platform, os_name=os_name).driver.name == expected


def test_a_choice_says_why_the_others_were_not_chosen() -> None:
    choice = choose(sys_platform="linux", os_name="posix")
    assert str(choice).splitlines() == [
        "emscripten: no, sys.platform is `linux`, not `emscripten`",
        "wasi: no, sys.platform is `linux`, not `wasi`",
        "local: chosen",
    ]


def test_an_unknown_platform_is_an_error_that_holds_every_reason() -> None:
    with pytest.raises(PlatformError) as caught:
        choose(sys_platform="plan9", os_name="plan9")
    assert all(name in str(caught.value.got) for name in ("emscripten", "wasi", "local"))
    assert "add_driver" in str(caught.value.fix)


def test_no_candidates_is_an_error() -> None:
    with pytest.raises(PlatformError, match="no driver"):
        choose(sys_platform="linux", os_name="posix", candidates=())


def test_this_process_is_detected_once_and_again_after_forget() -> None:
    first = detect()
    assert isinstance(first, LocalIO)
    assert detect() is first
    assert explain() is explain()
    forget()
    assert detect() is not first


def test_an_added_driver_is_asked_first_until_it_is_removed() -> None:
    detect()
    add_driver(RAM)
    assert isinstance(detect(), MemoryIO)
    remove_driver("ram")
    assert isinstance(detect(), LocalIO)


@pytest.mark.parametrize("name", ["ram", "local"])
def test_a_taken_name_is_refused(name: str) -> None:
    add_driver(RAM)
    with pytest.raises(NameTakenError, match=name):
        add_driver(Driver(name=name, home=RAM.home, refuses=always))


def test_a_built_in_driver_cannot_be_removed() -> None:
    remove_driver("local")
    assert isinstance(detect(), LocalIO)


@pytest.mark.parametrize(
    "home", ["no-colon", ":X", "no_such_module:X", "json:Nothing", "builtins:abs"]
)
def test_a_driver_that_is_not_where_it_says_is_named(home: str) -> None:
    add_driver(Driver(name="ram", home=home, refuses=always))
    with pytest.raises(PlatformError, match="`ram` cannot be loaded") as caught:
        detect()
    assert home in str(caught.value.got)


def test_only_the_chosen_driver_is_imported() -> None:
    program = (
        "import sys; from openautoglm.platform_io import detect; detect();"
        "print(*sorted(m.rsplit('.')[-1] for m in sys.modules if '.platform_io.' in m))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    assert done.stdout.split() == [
        *("detection", "devices", "interface"),
        *("local", "refusals", "replacing"),
    ]


def test_an_owner_takes_back_its_drivers_and_no_others() -> None:
    add_driver(RAM)
    add_driver(Driver(name="cloud", home=RAM.home, refuses=always, owner="acme"))
    assert explain().driver.name == "cloud"
    assert revoke_drivers("acme") == ("cloud",)
    assert explain().driver.name == "ram"
    assert revoke_drivers("acme") == revoke_drivers("") == ()
    assert explain().driver.name == "ram"
