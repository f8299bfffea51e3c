"""Which engine is meant, and what keeps it from running a job, told before anything is started."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from openautoglm.errors import ClusterError, InvalidParameterError, MissingExtraError
from openautoglm.jobs.crews.engine import Engine
from openautoglm.jobs.launching import LocalLauncher
from openautoglm.jobs.run import Run

if TYPE_CHECKING:
    from tests.unit.jobs.conftest import Desk

SERVER = "postgresql://ana:secret@db/jobs"


@pytest.mark.parametrize(
    ("given", "name", "address"),
    [
        (None, "local", "None"),
        ("local", "local", "None"),
        ("ray", "ray", "None"),
        ("head:6379", "head:6379", "head:6379"),
        ("ray://head:10001", "ray://head:10001", "ray://head:10001"),
        ("[::1]:6379", "[::1]:6379", "[::1]:6379"),
    ],
)
def test_an_engine_is_named_by_a_word_or_by_its_address(
    given: str | None, name: str, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAUTOGLM_ENGINE", raising=False)
    engine = Engine.read(given)
    assert (engine.name, engine.is_ray, str(engine.address)) == (name, name != "local", address)


def test_the_setting_counts_where_none_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAUTOGLM_ENGINE", "ray")
    assert Engine.read().is_ray
    assert not Engine.read("local").is_ray


@pytest.mark.parametrize(
    "given",
    ["rya", "dask", "head:", ":6379", "head:0", "head:65536", "a/b:1"],
)
def test_another_engine_is_refused(given: str) -> None:
    with pytest.raises(InvalidParameterError, match="no such engine"):
        Engine.read(given)


def test_a_word_that_is_nearly_one_is_named() -> None:
    with pytest.raises(InvalidParameterError) as caught:
        Engine.read("rya")
    assert "ray" in str(caught.value.fix)


def test_a_ledger_of_one_machine_is_refused_before_anything_is_started(desk: Desk) -> None:
    desk.number(1)
    with pytest.raises(ClusterError, match="of one machine") as caught:
        desk.job().run(engine="ray")
    assert "--ledger postgresql://" in str(caught.value.fix)
    assert Run.all() == []
    with pytest.raises(ClusterError, match="of one machine"):
        LocalLauncher(engine="ray")
    done = desk.job().run()
    with pytest.raises(ClusterError, match="of one machine"):
        done.resume(engine="ray")


def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match="ray") as caught:
        Engine.read("ray").check(SERVER)
    assert "openautoglm[ray]" in str(caught.value.fix)


def test_a_wrong_address_is_refused_at_once_and_named() -> None:
    with pytest.raises(ClusterError, match=r"no Ray cluster at 127\.0\.0\.1:1\b") as caught:
        Engine.read("127.0.0.1:1").check(SERVER)
    assert "ray start --head" in str(caught.value.fix)


def test_the_address_in_the_environment_is_asked_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    with pytest.raises(ClusterError, match=r"no Ray cluster at 127\.0\.0\.1:1\b"):
        Engine.read("ray").check(SERVER)
