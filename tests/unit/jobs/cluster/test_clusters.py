"""A doctor asks the nodes of a real Ray: one that joined, and a head that has no openautoglm."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Final, final

import msgspec
import psutil
import pytest

from openautoglm.cli.ending import run_to_end
from openautoglm.jobs.cluster.doctor import examine
from openautoglm.jobs.cluster.finding import CLUSTER, DRIVER
from openautoglm.jobs.crews.cluster import joined, ray_module
from openautoglm.jobs.crews.engine import Engine
from openautoglm.jobs.crews.token import MODE
from openautoglm.settings import need
from openautoglm.testing.versions import until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.unit.jobs.conftest import Desk

HIDING: Final = """
import sys
from importlib import metadata

class Hiding:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] == "openautoglm":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Hiding)
found = metadata.version

def version(name):
    if name == "openautoglm":
        raise metadata.PackageNotFoundError(name)
    return found(name)

metadata.version = version
"""
"""What interpreters of a node run before all else, so that it has no openautoglm."""
SMALL: Final = ("--num-cpus=1", "--object-store-memory=100000000")


@final
class Site:
    """A cluster of a head, and of one node: a process of `oag worker join`, started as needed.

    It takes nobody without its token, and the node is not told that it has one.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self.environment = {n: v for n, v in os.environ.items() if n != MODE}
        self.head = self._name(*self._alive())
        self._process: subprocess.Popen[bytes] | None = None
        self._node = ""

    def node(self) -> str:
        """Return the name of the node that joined."""
        if self._process is None:
            more = ["--resource", "oag-camera=1", "--", *SMALL]
            command = [sys.executable, "-m", "openautoglm", "worker", "join", self.address, *more]
            self._process = subprocess.Popen(
                command, stdout=subprocess.DEVNULL, env=self.environment
            )
            until(lambda: len(self._alive()) == 2, timeout_s=60)
            (self._node,) = {self._name(node) for node in self._alive()} - {self.head}
        return self._node

    def raylet(self) -> int:
        """Return the process of Ray that speaks for the node."""
        assert self._process is not None
        children = psutil.Process(self._process.pid).children(recursive=True)
        (found,) = (child.pid for child in children if child.name() == "raylet")
        return int(found)

    def leave(self, how: signal.Signals) -> None:
        """End the node's command, and see the node gone."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(how)
            process.wait(30)
            until(lambda: len(self._alive()) == 1, timeout_s=60)

    def _alive(self) -> list[Any]:
        with joined(Engine.read(self.address).address, may_start=False) as ray:
            return [node for node in ray.nodes() if node["Alive"]]

    def _name(self, node: Mapping[str, Any]) -> str:
        return f"{node['NodeManagerAddress']}/{node['NodeID'][:8]}"


@pytest.fixture(scope="module")
def token(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Have the Ray of this process ask for a token, until the module ends."""
    raylet: Any = need("ray._raylet", extra="ray", why="a test")
    file = tmp_path_factory.mktemp("token") / "auth_token"
    file.write_text(secrets.token_hex(32))

    def refresh() -> None:
        raylet.Config.initialize("")
        raylet.AuthenticationTokenLoader.instance().reset_cache()

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(MODE, "token")
        patch.setenv("RAY_AUTH_TOKEN_PATH", os.fspath(file))
        refresh()
        yield
    refresh()


@pytest.fixture(scope="module")
def site(
    token: None,  # noqa: ARG001 - it is in the environment
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Site]:
    ray_module()
    from ray.cluster_utils import Cluster

    hiding = tmp_path_factory.mktemp("hiding")
    (hiding / "sitecustomize.py").write_text(HIDING)
    options = {"include_dashboard": False, "env_vars": {"PYTHONPATH": str(hiding)}}
    cluster: Any = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, **options})
    try:
        with joined(Engine.read(cluster.address).address, may_start=False):
            made = Site(cluster.address)
            yield made
            made.leave(signal.SIGTERM)
    finally:
        cluster.shutdown()


def test_a_node_without_openautoglm_is_a_finding_and_one_that_joined_lacks_nothing(
    site: Site, desk: Desk, postgres_url: str, capfd: pytest.CaptureFixture[str]
) -> None:
    node = site.node()
    desk.number(3)
    spec = {
        "source": str(desk.source),
        "sink": str(desk.sink),
        "function": "job_functions:double",
        "resources": {"oag-camera": 1},
    }
    kind = {"apiVersion": "openautoglm/v1", "kind": "Job", "metadata": {"name": "doubling"}}
    file = desk.folder / "job.yaml"
    file.write_text(json.dumps({**kind, "spec": spec}))  # JSON is YAML

    where = ["--engine", site.address, "--ledger", postgres_url]
    assert run_to_end(["worker", "doctor", str(file), *where, "--json"]) == 3

    report = json.loads(capfd.readouterr().out)
    (finding,) = report["findings"]
    assert (finding["node"], finding["what"]) == (site.head, "openautoglm")
    assert finding["problem"] == "it is not installed there"
    assert "No module named 'openautoglm'" in finding["got"]
    assert 'pip install "openautoglm[ray]==' in finding["fix"]
    facts = {node["node"]: node for node in report["nodes"]}
    assert set(facts) == {DRIVER, site.head, node}
    assert facts[node]["resources"]["oag-camera"] == 1
    assert facts[node]["openautoglm"] == facts[DRIVER]["openautoglm"] is not None
    assert facts[site.head]["openautoglm"] is None
    assert not list(desk.folder.glob(".oag-doctor-*")), "what was left for nodes to see is gone"


def test_a_node_that_hangs_is_a_finding_and_so_is_what_no_node_has(site: Site, desk: Desk) -> None:
    node = site.node()
    desk.number(3)
    raylet = site.raylet()
    os.kill(raylet, signal.SIGSTOP)
    try:
        report = examine(
            desk.job(resources={"oag-lidar": 1}),
            engine=Engine.read(site.address),
            ledger=desk.ledger,
            limit_s=3.0,
        )
    finally:
        os.kill(raylet, signal.SIGCONT)

    by_place = {(each.node, each.what): each for each in report.findings}
    assert by_place[node, "answer"].got == "nothing within 3 s"
    assert by_place[CLUSTER, "resources"].problem == "no node has oag-lidar 1"
    assert "oag-camera 1" in by_place[CLUSTER, "resources"].got
    assert "it is a file of this machine" in by_place[DRIVER, "ledger"].problem
    assert msgspec.json.encode(report)


def test_a_node_leaves_with_ctrl_c(site: Site) -> None:
    site.node()
    site.leave(signal.SIGINT)


def test_a_node_with_another_token_is_told_so_before_it_starts(site: Site, tmp_path: Path) -> None:
    (tmp_path / "other").write_text(secrets.token_hex(32))
    done = subprocess.run(
        [sys.executable, "-m", "openautoglm", "worker", "join", site.address],
        env={**site.environment, "RAY_AUTH_TOKEN_PATH": os.fspath(tmp_path / "other")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3, done.stderr
    assert "takes nobody without its token" in done.stderr
    assert "fix: copy ~/.ray/auth_token" in done.stderr
