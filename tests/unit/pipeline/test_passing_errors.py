"""An error that may pass may pass at every level a step runs at, so that a job tries again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from openautoglm.bus import Bus
from openautoglm.errors import BackendRequestError, PluginCrashedError, StepError
from openautoglm.errors.passing import asked_wait_s, may_pass
from openautoglm.pipeline.graph import Pipeline
from openautoglm.plugins.host import PluginHost
from openautoglm.plugins.host.sandbox import supported
from openautoglm.plugins.manifest import Limits, Manifest, Provides

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from openautoglm.engine.generation import Generation
    from openautoglm.plugins.host import RunningPlugin

CODE = '''
import os
from collections.abc import Mapping
from typing import ClassVar

from openautoglm.errors import BackendRequestError
from openautoglm.pipeline.step import Step, StepContext


class StatusError(Exception):
    """As clients of HTTP have them."""

    status_code = 503


class Fails(Step, frozen=True):
    """Fail in every way there is."""

    outputs: ClassVar[Mapping[str, str]] = {"said": "nothing"}
    how: str = "reset"

    def run(self, *, text: str, context: StepContext) -> Mapping[str, object]:
        return getattr(self, f"_{self.how}")(context)

    def _reset(self, context):
        raise ConnectionResetError("by peer")

    def _status(self, context):
        raise StatusError("the server is down")

    def _busy(self, context):
        raise BackendRequestError("busy", may_pass=True, wait_s=2.5)

    def _caused(self, context):
        try:
            self._busy(context)
        except BackendRequestError as cause:
            raise ValueError("no answer") from cause

    def _never(self, context):
        raise ValueError("no date")

    def _model(self, context):
        return {"said": context.engine.run("hello").text}

    def _dies(self, context):
        os._exit(7)
'''


class Busy:
    """A model that is asked too much."""

    def run(self, *_: object, **__: object) -> Generation:
        raise BackendRequestError("busy", may_pass=True, wait_s=4.0)

    def batch(self, *_: object, **__: object) -> Iterable[Generation]:
        return ()

    def count_tokens(self, text: str) -> int:
        return len(text)


@pytest.fixture(scope="module", params=["L0", "L1", "L2"])
def running(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningPlugin]:
    level = request.param
    if level == "L2" and not supported().sandbox:
        pytest.skip(f"no sandbox here: {supported().reasons}")
    folder: Path = tmp_path_factory.mktemp("plugin")
    (folder / "acme_fail").mkdir()
    (folder / "acme_fail/__init__.py").write_text(CODE)
    manifest = Manifest(
        id="acme.fail",
        name="acme-fail",
        version="1.0",
        package="acme_fail",
        host_api=">=1.0,<2",
        isolation=level,
        limits=Limits(memory_mb=2048),
        permissions=("call:model.generate",),
        provides=(Provides(point="step", contract=1, name="acme.fail", object="acme_fail:Fails"),),
    )
    with Bus() as bus, PluginHost(bus=bus, levels=("L0", "L1", "L2")) as host:
        yield host.start(manifest, path=[folder], register=False)


def failure(running: RunningPlugin, how: str) -> StepError:
    kind: Any = running.entry(running.manifest.provides[0])
    pipeline = Pipeline(
        name="fail",
        components={"fail": kind(how=how)},
        inputs={"text": "fail.text"},
        outputs={"said": "fail.said"},
    )
    with pytest.raises(StepError) as caught:
        pipeline.run(text="hello", engine=Busy())
    return caught.value


@pytest.mark.parametrize(
    ("how", "passes", "wait_s"),
    [
        ("reset", True, 0.0),
        ("status", True, 0.0),
        ("busy", True, 2.5),
        ("caused", True, 2.5),
        ("never", False, 0.0),
        ("model", True, 4.0),
    ],
)
def test_what_a_job_may_try_again_is_the_same_at_every_level(
    running: RunningPlugin,
    how: str,
    passes: bool,  # noqa: FBT001 - of the table
    wait_s: float,
) -> None:
    error = failure(running, how)
    assert may_pass(error) is passes
    assert asked_wait_s(error) == wait_s


def test_a_row_that_met_the_death_of_a_worker_is_tried_again(running: RunningPlugin) -> None:
    if running.manifest.isolation == "L0":
        return  # it would end this process; of a job's worker, the job takes care
    error = failure(running, "dies")
    assert isinstance(error.__cause__, PluginCrashedError)
    assert may_pass(error)
