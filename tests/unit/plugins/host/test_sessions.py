"""Calls that belong together reach one worker, or end in an error; what ends all, reaches all."""

from __future__ import annotations

import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from openautoglm.data import Location
from openautoglm.data.remote import remote_sink, remote_source
from openautoglm.engine.backend import LoadSpec, Request
from openautoglm.engine.remote_backend import RemoteBackend
from openautoglm.errors import PluginCrashedError, PluginUnavailableError, SinkConflictError
from openautoglm.plugins.host import PluginHost, Supervision
from openautoglm.plugins.manifest import Limits, Manifest, Provides
from openautoglm.plugins.rollout import AT_ONCE
from openautoglm.testing.versions import New, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openautoglm.engine.generation import Generation
    from openautoglm.plugins.host import RunningPlugin


TOUGH = Supervision(heartbeat_s=0.1, backoff_s=0.0, longest_backoff_s=0.0, intensity=10_000)
OBJECTS = {"sink": "Sink", "source": "Source", "backend": "Backend"}


def kept(folder: Path, version: str = "1") -> New:
    """Return a version of the plugin that keeps what it is told."""
    package = folder / version / "kept_plugin"
    package.mkdir(parents=True)
    text = Path(__file__).with_name("kept.py").read_text("utf-8")
    text = text.replace('VERSION = "1"', f'VERSION = "{version}"')
    (package / "__init__.py").write_text(text, "utf-8")
    manifest = Manifest(
        id="acme.kept",
        name="acme-kept",
        version=version,
        package="kept_plugin",
        host_api=">=1.0,<2",
        isolation="L1",
        limits=Limits(memory_mb=4096, call_timeout_s=20.0),
        provides=tuple(
            Provides(point=point, contract=1, name=f"kept.{point}", object=f"kept_plugin:{name}")
            for point, name in OBJECTS.items()
        ),
    )
    return New(manifest, lambda *_: None, (folder / version,))


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPlugin]:
    with PluginHost(supervision=TOUGH) as host:
        yield host.start(kept(tmp_path_factory.mktemp("kept")), workers=2, register=False)


class Named:
    name = "kept"


def sink_of(remote: Any, path: Path) -> Any:  # noqa: ANN401 - a remote sink
    return remote_sink(remote, Named())(Location(url=str(path), scheme="kept", path=str(path)))


def source_of(remote: Any, count: int) -> Any:  # noqa: ANN401 - a remote source
    return remote_source(remote, Named())(Location(url="", scheme="kept", path=str(count)))


def pids(running: RunningPlugin) -> set[int]:
    return {worker.pid for worker in running.health.workers if worker.state == "ready"}


def kill(pid: int) -> None:
    with suppress(ProcessLookupError):  # it is dead, and its death not known yet
        os.kill(pid, signal.SIGKILL)


def test_rows_of_many_sinks_at_once_stay_apart_in_their_workers(
    running: RunningPlugin, tmp_path: Path
) -> None:
    remote = running.remote("kept.sink")

    def write(number: int) -> None:
        sink = sink_of(remote, tmp_path / str(number))
        for n in range(20):
            sink.write([{"n": n}])
        assert sink.commit().rows == 20
        assert sink.commit() == sink.committed()

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(write, range(40)))
    took = []
    for path in tmp_path.iterdir():
        rows = [line.split() for line in path.read_text("utf-8").splitlines()]
        assert [row[0] for row in rows] == [str(n) for n in range(20)]
        assert len({row[2] for row in rows}) == 1
        took.append(rows[0][2])
    assert len(set(took)) == 2


def test_a_sink_whose_write_had_no_answer_is_not_committed(
    running: RunningPlugin, tmp_path: Path
) -> None:
    class Loses:
        """Loses one write, as a worker does that is out of time and answers late."""

        def __init__(self, remote: Any) -> None:  # noqa: ANN401 - a remote
            self.remote = remote

        def call(self, method: str, /, *args: object, timeout_s: float | None = None) -> object:
            if method == "write" and args[1] == [{"n": 1}]:
                raise TimeoutError
            return self.remote.call(method, *args, timeout_s=timeout_s)

        def stream(
            self, method: str, /, *args: object, timeout_s: float | None = None
        ) -> Iterator[object]:
            raise NotImplementedError

    sink = sink_of(Loses(running.remote("kept.sink").pinned()), tmp_path / "rows")  # type: ignore[attr-defined] # a CrewObject
    sink.write([{"n": 0}])
    with pytest.raises(TimeoutError):
        sink.write([{"n": 1}])
    for verb in (lambda: sink.write([{"n": 2}]), sink.commit):
        with pytest.raises(SinkConflictError, match="rows may be missing"):
            verb()
    sink.abort()
    assert not (tmp_path / "rows").exists()


def test_a_source_is_one_object_in_one_worker_until_that_is_gone(running: RunningPlugin) -> None:
    remote = running.remote("kept.source")
    sources = [source_of(remote, 100) for _ in range(4)]
    for source in sources:
        by = source.describe().fingerprint["by"]
        shards = list(source.shards(rows=7))
        rows = [record.values for shard in shards for record in source.read(shard)]
        assert [row["n"] for row in rows] == list(range(100))
        assert {row["by"] for row in rows} == {by}
    assert len({s.describe().fingerprint["by"].partition("-")[0] for s in sources}) == 2
    sources[0].close()
    assert sources[1].describe().fingerprint["by"] != "closed"
    for ask in (lambda s: s.describe().rows, lambda s: len(list(s.shards(rows=1)))):
        kill(int(sources[1].describe().fingerprint["by"].partition("-")[0]))
        assert ask(sources[1]) == 100
    for source in sources:
        source.close()


def test_a_model_is_given_back_in_every_worker_that_loaded_it(running: RunningPlugin) -> None:
    crew = running._crew
    assert crew is not None
    until(lambda: len(pids(running)) == 2)
    backend = RemoteBackend(running.remote("kept.backend"), LoadSpec())
    prompts = [f"{number}: all the workers load it" for number in range(6)]
    with ThreadPoolExecutor(6) as threads:
        answers = list(threads.map(lambda p: list(backend.stream(Request(prompt=p)))[-1], prompts))
    assert [str(answer) for answer in answers] == prompts
    loaded = list(Path(crew.assignment.scratch).glob("loaded-*"))
    assert len({path.name.split("-")[1] for path in loaded}) == 2
    backend.close()
    assert not list(Path(crew.assignment.scratch).glob("loaded-*"))


def test_a_cancel_reaches_the_worker_that_generates(running: RunningPlugin) -> None:
    backend = RemoteBackend(running.remote("kept.backend"), LoadSpec())

    def asked(_: int) -> Generation:
        request = Request(prompt="wait for the cancel")
        timer = threading.Timer(0.1, request.cancel.set)
        timer.start()
        found = dict(backend.batch([request]))
        timer.join()
        return found[0]

    with ThreadPoolExecutor(2) as threads:
        began = time.monotonic()
        reasons = [answer.finish_reason for answer in threads.map(asked, range(8))]
    assert reasons == ["cancelled"] * 8
    assert time.monotonic() - began < 15  # one that is not told waits for 20 s
    backend.close()


def test_what_is_left_of_a_batch_ends_in_the_worker(running: RunningPlugin) -> None:
    backend = RemoteBackend(running.remote("kept.backend"), LoadSpec())
    answers: Any = backend.batch(Request(prompt=f"prompt {n}") for n in range(20))
    next(answers)
    answers.close()
    assert running.health.in_flight == 0
    assert dict(backend.batch([Request(prompt="after")]))[0].text == "after"
    backend.close()


# replacements


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["commit", "abort"])
def test_a_sink_stays_on_its_version_while_another_takes_over(tmp_path: Path, verb: str) -> None:
    plan = replace(AT_ONCE, keep_requests=0)  # the old version ends as soon as it is drained
    with PluginHost(supervision=TOUGH) as host:
        host.start(kept(tmp_path), workers=2)
        remote = host.rollouts.remote("acme.kept", "kept.sink")
        sink = sink_of(remote, tmp_path / "rows")
        sink.write([{"n": 0}])
        report: Any = []
        replacing = threading.Thread(
            target=lambda: report.append(host.replace("acme.kept", kept(tmp_path, "2"), plan=plan))
        )
        replacing.start()

        def serving() -> str:
            other = sink_of(remote, tmp_path / "other")
            other.write([{"n": 0}])
            other.commit()
            return (tmp_path / "other").read_text("utf-8").split()[1]

        until(lambda: serving() == "2", 30.0)
        sink.write([{"n": 1}])
        assert {each.manifest.version for each in host.plugins} == {"1", "2"}
        getattr(sink, verb)()
        replacing.join()
        assert report[0].ok
        until(lambda: [each.manifest.version for each in host.plugins] == ["2"], 10.0)
        if verb == "abort":
            assert not (tmp_path / "rows").exists()
            return
        rows = [line.split() for line in (tmp_path / "rows").read_text("utf-8").splitlines()]
        assert [row[:2] for row in rows] == [["0", "1"], ["1", "1"]]
        assert rows[0][2] == rows[1][2]


def test_a_sink_of_a_plugin_that_is_stopped_says_so(tmp_path: Path) -> None:
    with PluginHost(supervision=TOUGH) as host:
        running = host.start(kept(tmp_path), workers=2)
        sink = sink_of(running.remote("kept.sink"), tmp_path / "rows")
        sink.write([{"n": 0}])
        host.stop(running)
        for verb in (lambda: sink.write([{"n": 1}]), sink.committed, sink.commit):
            with pytest.raises((PluginUnavailableError, PluginCrashedError, SinkConflictError)):
                verb()
        sink.abort()
        assert not (tmp_path / "rows").exists()
