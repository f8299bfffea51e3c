"""The good plugins of the repository start at the level they ask for, and leave nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from openautoglm.plugins import Manifest
from openautoglm.plugins.host import PluginHost
from openautoglm.plugins.host.sandbox import supported

ROOT = Path(__file__).parents[4] / "plugins" / "good"
PROJECTS = sorted(path.parent for path in ROOT.glob("*/pyproject.toml"))


@pytest.mark.skipif(not supported().sandbox, reason="no sandbox here: most ask for L2")
def test_every_good_plugin_starts_and_stops_in_one_host(tmp_path: Path) -> None:
    assert PROJECTS
    with PluginHost(home=tmp_path, levels=("L0", "L1", "L2", "L3")) as host:
        for project in PROJECTS:
            source = project / "src"
            manifest = Manifest.from_project(project)
            running = host.start(manifest, path=[source if source.is_dir() else project])
            assert running.state == "running", project.name
            for provides in manifest.provides:
                if provides.point != "driver" and provides.sources is None:
                    assert hasattr(running.remote(provides.name, point=provides.point), "call")
            host.stop(running)
    assert list((tmp_path / "scratch").iterdir()) == []
