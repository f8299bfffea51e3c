"""Plugins that were started for a name follow what is installed while the process runs."""

from __future__ import annotations

import re
import threading
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from openautoglm import plugins
from openautoglm.errors import (
    PluginReplaceError,
    PluginStoreError,
    PluginUnavailableError,
    UnknownNameError,
)
from openautoglm.pipeline.catalog import STEPS
from openautoglm.plugins import on_demand
from openautoglm.plugins.host.sandbox import supported
from openautoglm.plugins.inventory.inventory import Inventory
from openautoglm.plugins.packing.packing import pack
from openautoglm.plugins.project import new_project
from openautoglm.plugins.signing import KeyringFile, new_local_key, sign

if TYPE_CHECKING:
    from pathlib import Path

needs_sandbox = pytest.mark.skipif(
    not supported().sandbox, reason="this kernel cannot confine a worker"
)
LOWER = (".upper()", ".lower()")


def first(folder: Path) -> Path:
    """Return the wheel of a step that writes in capitals."""
    return pack(new_project("acme.upper", kind="step", into=folder)).path


def changed(folder: Path, version: str, *edits: tuple[str, str]) -> Path:
    """Return the wheel of another version of the step, with other text in its module."""
    project = folder / "acme-upper"
    described, code = project / "pyproject.toml", next(project.rglob("step.py"))
    old = re.sub(r'(?m)^version = ".*"', f'version = "{version}"', described.read_text())
    described.write_text(old)
    text = code.read_text()
    for before, after in edits:
        assert before in text
        text = text.replace(before, after)
    code.write_text(text)
    return pack(project).path


def versions() -> list[str]:
    return [each.manifest.version for each in on_demand.running() if each.is_registered]


def test_the_next_name_that_is_asked_for_finds_the_version_that_was_installed_meanwhile(
    home: Path, tmp_path: Path
) -> None:
    inventory = Inventory(home)
    inventory.install(first(tmp_path))
    held = STEPS.get("acme.upper")()
    assert held.run(text="Old") == {"text": "OLD"}
    inventory.install(changed(tmp_path, "0.2.0", LOWER))
    assert held.run(text="Old") == {"text": "OLD"}
    assert STEPS.get("acme.upper")().run(text="New") == {"text": "new"}
    assert held.run(text="Held") == {"text": "held"}
    assert versions() == ["0.2.0"]
    inventory.rollback("acme.upper")
    assert STEPS.get("acme.upper")().run(text="Back") == {"text": "BACK"}


def test_refresh_gives_new_calls_of_what_is_held_to_the_new_version(
    home: Path, tmp_path: Path
) -> None:
    inventory = Inventory(home)
    inventory.install(first(tmp_path))
    held = STEPS.get("acme.upper")()
    assert plugins.refresh() == ()
    inventory.install(changed(tmp_path, "0.2.0", LOWER))
    assert plugins.refresh() == ("acme.upper",)
    assert held.run(text="Held") == {"text": "held"}


def test_no_call_is_lost_while_versions_are_installed_and_asked_for(
    home: Path, tmp_path: Path
) -> None:
    inventory = Inventory(home)
    inventory.install(first(tmp_path))
    held, ended = STEPS.get("acme.upper")(), threading.Event()
    answers: Counter[str] = Counter()
    failures: list[Exception] = []

    def keep_calling() -> None:
        while not ended.is_set():
            try:
                answers[str(held.run(text="aB")["text"])] += 1
            except Exception as error:  # noqa: BLE001 - whatever a call ends in
                failures.append(error)

    callers = [threading.Thread(target=keep_calling) for _ in range(2)]
    for caller in callers:
        caller.start()
    try:
        inventory.install(changed(tmp_path, "0.2.0", LOWER))
        assert STEPS.get("acme.upper")().run(text="aB") == {"text": "ab"}
        for _ in range(4):
            inventory.rollback("acme.upper")
            assert plugins.refresh() == ("acme.upper",)
    finally:
        ended.set()
        for caller in callers:
            caller.join()
    assert failures == []
    assert set(answers) == {"AB", "ab"}


def test_a_new_version_that_does_not_start_leaves_the_old_one_and_refresh_says_why(
    home: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    inventory = Inventory(home)
    inventory.install(first(tmp_path))
    held = STEPS.get("acme.upper")()
    bad = ("from openautoglm", "raise OSError('no luck')\nfrom openautoglm")
    inventory.install(changed(tmp_path, "0.2.0", bad))
    assert STEPS.get("acme.upper")().run(text="Old") == {"text": "OLD"}
    assert "no luck" in caplog.text
    inventory.disable("acme.upper")
    inventory.enable("acme.upper")
    with pytest.raises(PluginReplaceError, match=r"0.1.0 serves on: 0.2.0 did not take its place"):
        plugins.refresh()
    assert held.run(text="Held") == {"text": "HELD"}


def test_a_key_that_is_revoked_meanwhile_ends_what_it_signed(home: Path, tmp_path: Path) -> None:
    wheel = first(tmp_path)
    sign(wheel, new_local_key(home, "mine").key)
    Inventory(home).install(wheel)
    held = STEPS.get("acme.upper")()
    new_local_key(home, "other")
    assert plugins.refresh() == ()
    KeyringFile(home / "keyring.json").update(
        lambda old: old.revoking("mine", at=datetime.now(UTC), reason="lost")
    )
    with pytest.raises(PluginUnavailableError, match=r"policy does not admit acme.upper"):
        STEPS.get("acme.upper")
    with pytest.raises(PluginUnavailableError):
        held.run(text="held")
    assert on_demand.running() == ()


@pytest.mark.parametrize("is_broken", [True, False])
def test_a_version_whose_key_is_revoked_serves_no_more_also_where_the_next_one_does_not_start(
    home: Path, tmp_path: Path, *, is_broken: bool
) -> None:
    wheel, key = first(tmp_path), new_local_key(home, "mine").key
    sign(wheel, key)
    Inventory(home).install(wheel)
    held = STEPS.get("acme.upper")()
    broken = ("from openautoglm", "raise OSError('no luck')\nfrom openautoglm")
    later = changed(tmp_path, "0.2.0", broken if is_broken else LOWER)
    sign(later, key)
    Inventory(home).install(later)
    if is_broken:
        with pytest.raises(PluginReplaceError):
            plugins.refresh()
    KeyringFile(home / "keyring.json").update(
        lambda old: old.revoking("mine", at=datetime.now(UTC), reason="lost")
    )
    with pytest.raises(PluginUnavailableError, match=r"policy does not admit acme.upper 0.2.0"):
        plugins.refresh()
    with pytest.raises(PluginUnavailableError):
        held.run(text="held")
    assert on_demand.running() == ()


def test_a_last_good_version_whose_key_is_revoked_is_no_way_back(
    home: Path, tmp_path: Path
) -> None:
    wheel = first(tmp_path)
    sign(wheel, new_local_key(home, "mine").key)
    Inventory(home).install(wheel)
    held = STEPS.get("acme.upper")()
    later = changed(tmp_path, "0.2.0", LOWER)
    sign(later, new_local_key(home, "other").key)
    Inventory(home).install(later)
    assert plugins.refresh() == ("acme.upper",)
    assert [each.manifest.version for each in on_demand.running()] == ["0.1.0", "0.2.0"]
    KeyringFile(home / "keyring.json").update(
        lambda old: old.revoking("mine", at=datetime.now(UTC), reason="lost")
    )
    assert plugins.refresh() == ()
    assert [each.manifest.version for each in on_demand.running()] == ["0.2.0"]
    assert held.run(text="Held") == {"text": "held"}


def test_a_name_that_no_plugin_has_waits_for_no_other_plugin_to_start(
    home: Path, tmp_path: Path
) -> None:
    Inventory(home).install(first(tmp_path))
    STEPS.get("acme.upper")
    answers: list[bool] = []
    asking = threading.Thread(target=lambda: answers.append(STEPS.has("acme.nothing")), daemon=True)
    with on_demand._lock:  # as while a plugin starts
        asking.start()
        asking.join(5.0)
        assert answers == [False]


def test_refresh_raises_one_error_and_logs_the_others(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    failures = [PluginUnavailableError("the first"), PluginUnavailableError("the second")]
    monkeypatch.setattr(on_demand, "_renewed", lambda: ((), failures))
    with pytest.raises(PluginUnavailableError, match="the first"):
        plugins.refresh()
    assert "the second" in caplog.text


def test_a_damaged_list_keeps_nothing_from_serving_and_is_told(
    home: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    Inventory(home).install(first(tmp_path))
    before = STEPS.get("acme.upper")
    (home / "state.json").write_text("{")
    assert STEPS.get("acme.upper") is before
    assert "the list of installed plugins is damaged" in caplog.text
    with pytest.raises(PluginStoreError):
        STEPS.get("acme.lower")


def test_other_files_of_the_same_version_are_loaded_too(home: Path, tmp_path: Path) -> None:
    inventory = Inventory(home)
    inventory.install(first(tmp_path))
    assert STEPS.get("acme.upper")().run(text="Old") == {"text": "OLD"}
    inventory.install(changed(tmp_path, "0.1.0", LOWER), replaces=True)
    assert STEPS.get("acme.upper")().run(text="New") == {"text": "new"}


def test_what_is_disabled_or_removed_meanwhile_serves_no_more(home: Path, tmp_path: Path) -> None:
    inventory = Inventory(home)
    inventory.install(first(tmp_path))
    held = STEPS.get("acme.upper")()
    inventory.disable("acme.upper")
    with pytest.raises(UnknownNameError) as caught:
        STEPS.get("acme.upper")
    assert caught.value.fix == "oag plugin enable acme.upper"
    with pytest.raises(PluginUnavailableError):
        held.run(text="held")
    inventory.enable("acme.upper")
    assert STEPS.get("acme.upper")().run(text="again") == {"text": "AGAIN"}
    inventory.remove("acme.upper")
    assert not STEPS.has("acme.upper")
    assert on_demand.running() == ()


def test_a_name_that_is_there_costs_no_reading_of_what_is_installed(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Inventory(home).install(first(tmp_path))
    before = STEPS.get("acme.upper")
    monkeypatch.setattr(Inventory, "list", lambda _: pytest.fail("it was read"))
    assert STEPS.get("acme.upper") is before
