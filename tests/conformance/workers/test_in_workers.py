"""Contributions in several real workers keep the contracts they keep in the host."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from openautoglm import AutoGLM
from openautoglm.data import Part, open_sink, open_source, writing
from openautoglm.pipeline.graph import Pipeline
from openautoglm.plugins.host import PluginHost
from openautoglm.plugins.host.sandbox import supported
from openautoglm.plugins.manifest import Limits, Manifest, Provides
from openautoglm.plugins.points import POINTS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openautoglm.plugins.host import RunningPlugin
    from openautoglm.plugins.host.placing import Level

CODE = '''
from collections.abc import Mapping
from typing import ClassVar

from openautoglm.data.formats import open_jsonl, open_jsonl_sink
from openautoglm.ops import Operator
from openautoglm.pipeline.step import Step
from openautoglm.testing.echo import EchoBackend


class Upper(Step, frozen=True):
    """Capitals."""

    outputs: ClassVar[Mapping[str, str]] = {"text": "in capitals"}
    suffix: str = ""

    def run(self, *, text: str) -> Mapping[str, object]:
        return {"text": text.upper() + self.suffix}


class acme_twice(Operator):
    def forward(self, x, by: float = 2.0):
        return x * by

    def backward(self, g, by):
        return g * by


def load(spec):
    """Say it back."""
    return EchoBackend()


open_rows, open_output = open_jsonl, open_jsonl_sink
'''
OBJECTS = {
    "step": ("acme.upper", "Upper"),
    "operator": ("acme_twice", "acme_twice"),
    "backend": ("acme.echo", "load"),
    "source": ("acme", "open_rows"),
    "sink": ("acme", "open_output"),
}


def manifest() -> Manifest:
    return Manifest(
        id="acme.all",
        name="acme-all",
        version="1.0",
        package="acme_all",
        host_api=">=1.0,<2",
        isolation="L1",
        limits=Limits(memory_mb=4096, call_timeout_s=20.0),
        peers={"numpy": ">=2", "torch": ">=2"},
        provides=tuple(
            Provides(point=point, contract=1, name=name, object=f"acme_all:{attribute}")
            for point, (name, attribute) in OBJECTS.items()
        ),
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plugin")
    (folder / "acme_all").mkdir()
    (folder / "acme_all/__init__.py").write_text(CODE)
    return folder


@pytest.fixture(scope="module", params=[("L1", 2), ("L2", 2)], ids=["L1", "L2"])
def running(request: pytest.FixtureRequest, folder: Path) -> Iterator[RunningPlugin]:
    level: Level
    level, workers = request.param
    if level == "L2" and not supported().sandbox:
        pytest.skip(f"no sandbox here: {supported().reasons}")
    with PluginHost() as host:
        yield host.start(manifest(), path=[folder], isolation=level, workers=workers)
    assert all("acme" not in name for p in OBJECTS for name in POINTS.get(p).entries().names())


@pytest.fixture
def place(running: RunningPlugin, tmp_path: Path) -> Path:
    """A folder that the workers may write, also where they are confined."""
    crew = running._crew
    assert crew is not None
    place = Path(crew.assignment.scratch) / tmp_path.name
    place.mkdir()
    return place


@pytest.mark.parametrize(
    "point", [pytest.param(p, marks=pytest.mark.slow) if p == "operator" else p for p in OBJECTS]
)
def test_a_contribution_in_a_worker_is_proved_like_any_other(
    running: RunningPlugin, point: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = place / "rows.jsonl"
    rows.write_text("".join(f'{{"n":{n}}}\n' for n in range(9)) + '{broken\n{"n":9}\n')
    options: dict[str, dict[str, object]] = {
        "source": {"url": str(rows), "bad_url": str(rows), "missing_url": str(place / "no")},
        "sink": {
            "url": f"{place}/out-{{n}}.jsonl",
            "part_url": f"jsonl+file://{place}/parts-{{n}}/",
        },
        "operator": {"profile": "quick"},
    }
    if point == "operator":  # a fork has no thread of the host's, and its sockets
        monkeypatch.delattr(os, "fork")
    name, _ = OBJECTS[point]
    value = POINTS.get(point).entries().get(name)
    findings = list(POINTS.get(point).findings(lambda: value, options.get(point, {})))
    failed = [str(finding) for finding in findings if finding.status == "fail"]
    assert not failed, "\n".join(failed)
    assert any(finding.status == "pass" for finding in findings)
    assert running.health.crashes == 0


def test_a_pipeline_an_engine_and_urls_use_what_runs_in_a_worker(
    running: RunningPlugin, place: Path
) -> None:
    assert running.state == "running"
    pipeline = Pipeline.from_yaml(
        "name: loud\ncomponents: {up: {type: acme.upper, params: {suffix: '!'}}}\n"
        "inputs: {text: {to: up.text}}\noutputs: {text: up.text}\n"
    )
    assert [r.outputs["text"] for r in pipeline.stream(["a", "b"])] == ["A!", "B!"]
    with AutoGLM(backend="acme.echo") as engine:
        assert [str(g) for g in engine.batch(["one", "two"])] == ["one", "two"]
        assert "".join(engine.stream("three")) == "three"
    url = f"acme+file://{place}/out/"
    with writing(open_sink(url, part=Part(job="j", shard=0))) as sink:
        sink.write([{"n": n} for n in range(500)])
    assert [r.values["n"] for r in open_source(url).read()] == list(range(500))


def test_an_operator_in_a_worker_is_called_with_arrays_of_any_size(running: RunningPlugin) -> None:
    import numpy as np

    assert running.state == "running"
    twice: Any = POINTS.get("operator").entries().get("acme_twice")
    for shape in ((), (0,), (3,), (2, 513), (70, 1000)):
        x = np.random.default_rng(0).random(shape).astype(np.float32)
        np.testing.assert_array_equal(twice(x), x * 2)
        np.testing.assert_array_equal(twice(x.T, by=3.0), x.T * np.float32(3))


def test_the_gradient_of_an_operator_in_a_worker_is_made_there(running: RunningPlugin) -> None:
    import torch

    assert running.state == "running"
    twice: Any = POINTS.get("operator").entries().get("acme_twice")
    x = torch.randn(3, 700, dtype=torch.float64, requires_grad=True)
    twice(x, by=3.0).pow(2).sum().backward()
    assert x.grad is not None
    torch.testing.assert_close(x.grad, 18 * x.detach())
    with torch.no_grad():
        assert not twice(x).requires_grad
