from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import pytest

from openautoglm import ops, registry
from openautoglm.errors import (
    NameTakenError,
    PluginUnavailableError,
    UnknownNameError,
)
from openautoglm.pipeline.catalog import STEPS
from openautoglm.plugins import on_demand
from openautoglm.plugins.host import PluginHost
from openautoglm.plugins.host.sandbox import supported
from openautoglm.plugins.inventory.inventory import Inventory
from openautoglm.plugins.packing.packing import pack
from openautoglm.plugins.project import new_project
from openautoglm.plugins.signing import KeyringFile, new_local_key, sign

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.plugins.conftest import InFork

    from openautoglm.plugins.host.placing import Level

needs_sandbox = pytest.mark.skipif(
    not supported().sandbox, reason="this kernel cannot confine a worker"
)


def wheel_of(name: str, kind: str, folder: Path) -> Path:
    return pack(new_project(name, kind=kind, into=folder)).path


def versions() -> list[str]:
    return [each.manifest.version for each in on_demand.running() if each.is_registered]


def levels() -> dict[str, str]:
    return {each.manifest.id: each.level for each in on_demand.running()}


@needs_sandbox
def test_an_installed_step_serves_by_its_name_in_a_sandbox(home: Path, tmp_path: Path) -> None:
    Inventory(home).install(wheel_of("acme.upper", "step", tmp_path))
    assert "acme.upper" not in STEPS.names()
    assert STEPS.get("acme.upper")().run(text="hello") == {"text": "HELLO"}
    assert levels() == {"acme.upper": "L2"}
    on_demand.close()
    assert "acme.upper" not in STEPS.names()


@needs_sandbox
def test_an_operator_is_in_a_sandbox_until_a_trusted_key_signed_it(
    home: Path, tmp_path: Path
) -> None:
    wheel = wheel_of("acme.average", "operator-python", tmp_path)
    ones = np.ones((2, 3), np.float32)
    Inventory(home).install(wheel)
    assert ops.get("acme_average")(ones, ones).shape == (2, 3)
    assert levels() == {"acme.average": "L2"}
    on_demand.close()

    sign(wheel, new_local_key(home, "mine").key)
    Inventory(home).install(wheel, replaces=True)
    assert ops.get("acme_average")(ones, ones).shape == (2, 3)
    assert levels() == {"acme.average": "L0"}


@needs_sandbox
def test_what_a_revoked_key_signed_does_not_start(home: Path, tmp_path: Path) -> None:
    wheel = wheel_of("acme.upper", "step", tmp_path)
    key = new_local_key(home, "mine").key
    sign(wheel, key)
    Inventory(home).install(wheel)
    KeyringFile(home / "keyring.json").update(
        lambda old: old.revoking("mine", at=datetime.now(UTC), reason="lost")
    )
    with pytest.raises(PluginUnavailableError, match=r"policy does not admit acme.upper"):
        STEPS.get("acme.upper")
    assert levels() == {}


@needs_sandbox
def test_own_rules_in_the_home_are_asked_too(home: Path, tmp_path: Path) -> None:
    Inventory(home).install(wheel_of("acme.upper", "step", tmp_path))
    (home / "policy").mkdir()
    (home / "policy" / "own.rego").write_text(
        "package plugin.admission\nimport rego.v1\n"
        'deny contains "not on Mondays" if input.manifest.id == "acme.upper"\n'
    )
    with pytest.raises(PluginUnavailableError, match="not on Mondays"):
        STEPS.get("acme.upper")


def test_files_that_are_not_those_of_the_wheel_are_not_loaded(home: Path, tmp_path: Path) -> None:
    found = Inventory(home).install(wheel_of("acme.upper", "step", tmp_path))
    file = found.root / "acme_upper" / "step.py"
    file.chmod(0o600)
    file.write_text(file.read_text() + "\nBAD = 1\n")
    with pytest.raises(PluginUnavailableError, match="not those of its wheel"):
        STEPS.get("acme.upper")


def test_a_file_that_was_added_keeps_a_plugin_from_loading(home: Path, tmp_path: Path) -> None:
    found = Inventory(home).install(wheel_of("acme.upper", "step", tmp_path))
    found.root.chmod(0o700)
    (found.root / "numpy.py").write_text("")
    with pytest.raises(PluginUnavailableError, match="not those of its wheel"):
        STEPS.get("acme.upper")


def test_a_name_of_a_disabled_plugin_says_how_to_enable_it(home: Path, tmp_path: Path) -> None:
    inventory = Inventory(home)
    inventory.install(wheel_of("acme.upper", "step", tmp_path))
    inventory.disable("acme.upper")
    with pytest.raises(UnknownNameError) as caught:
        STEPS.get("acme.upper")
    assert caught.value.fix == "oag plugin enable acme.upper"
    assert not STEPS.has("acme.upper")


def test_a_library_that_nobody_signed_says_what_to_do(home: Path, tmp_path: Path) -> None:
    wheel = pack(new_project("acme.fast", kind="operator-cpp", into=tmp_path), sources=True).path
    Inventory(home).install(wheel)
    with pytest.raises(PluginUnavailableError) as caught:
        ops.get("acme_fast")
    assert "sign its wheel" in str(caught.value.fix)


def test_a_name_that_nobody_provides_starts_nothing(home: Path, tmp_path: Path) -> None:
    Inventory(home).install(wheel_of("acme.upper", "step", tmp_path))
    with pytest.raises(UnknownNameError, match=r"no step is called `acme.lower`"):
        STEPS.get("acme.lower")
    assert levels() == {}


def test_a_host_that_starts_an_installed_operator_starts_one_only(
    home: Path, tmp_path: Path
) -> None:
    found = Inventory(home).install(wheel_of("acme.average", "operator-python", tmp_path))
    levels_here: tuple[Level, ...] = ("L0",)
    with PluginHost(levels=levels_here) as host:
        host.start(found, isolation="L0")
        assert ops.get("acme_average").name == "acme_average"
        assert levels() == {}


def test_a_worker_of_a_plugin_starts_no_other(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Inventory(home).install(wheel_of("acme.upper", "step", tmp_path))
    monkeypatch.setattr(registry, "_starts_plugins", True)  # as it was, when the test ends
    registry.start_no_plugins()
    with pytest.raises(UnknownNameError):
        STEPS.get("acme.upper")


@needs_sandbox
def test_a_host_of_ones_own_takes_the_names_over_and_gives_them_back(
    home: Path, tmp_path: Path
) -> None:
    found = Inventory(home).install(wheel_of("acme.upper", "step", tmp_path))
    before = STEPS.get("acme.upper")
    with PluginHost() as host:
        own = host.start(found)
        assert STEPS.get("acme.upper")().run(text="own") == {"text": "OWN"}
        assert own.health.calls >= 1
        assert before().run(text="held") == {"text": "HELD"}
        assert versions() == []
    assert "acme.upper" not in STEPS.names()
    assert STEPS.get("acme.upper")().run(text="again") == {"text": "AGAIN"}
    assert len(on_demand.running()) == 1


@needs_sandbox
def test_a_host_of_ones_own_takes_over_what_is_loaded_into_the_process(
    home: Path, tmp_path: Path
) -> None:
    wheel = wheel_of("acme.average", "operator-python", tmp_path)
    sign(wheel, new_local_key(home, "mine").key)
    found = Inventory(home).install(wheel)
    ones = np.ones((2, 3), np.float32)
    assert ops.get("acme_average")(ones, ones).shape == (2, 3)
    assert levels() == {"acme.average": "L0"}
    everywhere: tuple[Level, ...] = ("L0",)
    with PluginHost(levels=everywhere) as host:
        host.start(found, isolation="L0")
        assert levels() == {}
        assert ops.get("acme_average")(ones, ones).shape == (2, 3)
    assert ops.get("acme_average")(ones, ones).shape == (2, 3)
    assert levels() == {"acme.average": "L0"}


def test_two_hosts_that_run_one_plugin_are_told_so_and_the_first_keeps_its_names(
    home: Path, tmp_path: Path
) -> None:
    found = Inventory(home).install(wheel_of("acme.upper", "step", tmp_path))
    with PluginHost() as first, PluginHost() as second:
        first.start(found, isolation="L1")
        with pytest.raises(NameTakenError) as caught:
            second.start(found, isolation="L1")
        assert "stop the plugin in the host that runs it" in str(caught.value.fix)
        assert second.plugins == ()
        assert STEPS.get("acme.upper")().run(text="first") == {"text": "FIRST"}


@needs_sandbox
@needs_sandbox
@needs_sandbox
@needs_sandbox
@needs_sandbox
@needs_sandbox
@needs_sandbox
@needs_sandbox
@needs_sandbox
@needs_sandbox
def test_a_forked_process_starts_its_own(home: Path, tmp_path: Path, in_fork: InFork) -> None:
    Inventory(home).install(wheel_of("acme.upper", "step", tmp_path))
    held = STEPS.get("acme.upper")()
    here = [worker.pid for each in on_demand.running() for worker in each.health.workers]

    def child() -> object:
        with pytest.raises(PluginUnavailableError, match="from which this one was forked"):
            held.run(text="held")
        mine = STEPS.get("acme.upper")().run(text="mine")
        there = [worker.pid for each in on_demand.running() for worker in each.health.workers]
        on_demand.close()
        return mine, len(there), set(there) & set(here)

    assert in_fork(child) == repr(({"text": "MINE"}, 1, set()))
    assert held.run(text="held") == {"text": "HELD"}
    assert here == [worker.pid for each in on_demand.running() for worker in each.health.workers]
