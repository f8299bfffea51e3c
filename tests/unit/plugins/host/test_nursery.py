"""Where workers come from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from openautoglm.plugins.host.restarts import Supervision

if TYPE_CHECKING:
    from tests.unit.plugins.host.conftest import Start

    from openautoglm.plugins.host import PluginHost, RunningPlugin


def parent_of(running: RunningPlugin) -> int:
    stat = Path(f"/proc/{running.health.workers[0].pid}/stat").read_text()
    return int(stat.rpartition(")")[2].split()[1])


def has_torch(pid: int) -> bool:
    return "libtorch" in Path(f"/proc/{pid}/maps").read_text()


def test_plugins_without_torch_come_from_a_process_that_never_waits_for_it(
    host: PluginHost, start: Start
) -> None:
    pytest.importorskip("torch")
    patient = Supervision(start_s=120.0)
    plain = start(host, id="acme.plain", as_name="acme.plain")
    heavy = start(
        host, id="acme.heavy", as_name="acme.heavy", peers={"torch": ">=2"}, supervision=patient
    )
    other = start(host, id="acme.other", as_name="acme.other")
    assert parent_of(plain) == parent_of(other) != parent_of(heavy)
    assert has_torch(parent_of(heavy))
    assert not has_torch(parent_of(other))
    zygotes = {parent_of(each) for each in host.plugins}
    host.close()
    assert len(zygotes) == 2
    assert not any(Path(f"/proc/{pid}").exists() for pid in zygotes)
