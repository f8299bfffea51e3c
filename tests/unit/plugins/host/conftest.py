"""A plugin made for the occasion, and hosts to run it in."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from openautoglm.plugins.host import PluginHost, RunningPlugin, Supervision
from openautoglm.plugins.host.sandbox import supported
from openautoglm.plugins.manifest import Limits, Manifest, Provides
from openautoglm.plugins.points import POINTS
from openautoglm.registry import owned_by
from openautoglm.testing.bare import BARE

if TYPE_CHECKING:
    from collections.abc import Iterator

QUICK = Supervision(
    heartbeat_s=0.05, hung_after_s=2.0, start_s=20.0, grace_s=0.05, backoff_s=0.01, stop_s=2.0
)


class Start(Protocol):
    """Starts the probe in a host."""

    def __call__(self, host: PluginHost, **options: Any) -> RunningPlugin:  # noqa: ANN401 - options of `start` and the manifest
        """Options: name (of the class), level, idempotent, limits, and those of `start`."""


@pytest.fixture(scope="module", autouse=True)
def bare_point() -> Iterator[None]:
    """Let plugins contribute bare objects; no test elsewhere sees the point."""
    with owned_by("tests"):
        POINTS.add(BARE.name, BARE)
    yield
    POINTS.revoke("tests")


@pytest.fixture(scope="session")
def probe_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plugins")
    package = folder / "probe_plugin"
    package.mkdir()
    shutil.copy(Path(__file__).with_name("probe.py"), package / "__init__.py")
    return folder


def manifest_of(**options: Any) -> Manifest:  # noqa: ANN401 - fields of the manifest
    provides = Provides(
        point="bare",
        contract=1,
        name=options.get("as_name", "acme.probe"),
        object=f"probe_plugin:{options.get('name', 'Probe')}",
        idempotent=options.get("idempotent", False),
        state=True,
    )
    return Manifest(
        id=options.get("id", "acme.probe"),
        name="acme-probe",
        version=options.get("version", "1.0"),
        package="probe_plugin",
        host_api=">=1.0,<2",
        isolation=options.get("level", "L1"),
        limits=options.get("limits", Limits(call_timeout_s=10.0)),
        peers=options.get("peers", {"numpy": ">=2"}),
        permissions=options.get("permissions", ()),
        provides=(provides,),
    )


@pytest.fixture
def start(probe_path: Path) -> Start:
    """Return a function that starts the probe."""
    of_manifest = {
        "name",
        "as_name",
        "level",
        "idempotent",
        "limits",
        "id",
        "version",
        "peers",
        "permissions",
    }

    def begin(host: PluginHost, **options: Any) -> RunningPlugin:  # noqa: ANN401 - as `Start`
        if options.get("level") == "L2" and not supported().sandbox:
            pytest.skip(f"no sandbox here: {supported().reasons}")
        described = {k: v for k, v in options.items() if k in of_manifest}
        others = {k: v for k, v in options.items() if k not in of_manifest}
        return host.start(manifest_of(**described), path=[probe_path], **others)

    return begin


@pytest.fixture
def host(tmp_path: Path) -> Iterator[PluginHost]:
    """A host that loses patience quickly."""
    with PluginHost(home=tmp_path / "home", supervision=QUICK, levels=("L1", "L2")) as made:
        yield made
