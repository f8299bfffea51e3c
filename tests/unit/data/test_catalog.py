"""Which of several entries a URL is opened by."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from openautoglm.data import MEMORY, SINKS, SOURCES, Location, Part, Source, open_sink, open_source
from openautoglm.errors import DataUrlError
from openautoglm.registry import owned_by

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from openautoglm.data import Sink


@pytest.fixture
def plugin() -> Iterator[str]:
    """An owner, whose entries go when the test ends."""
    yield "acme"
    for registry in (SOURCES, SINKS):
        registry.revoke("acme")
    MEMORY.drop("answers")


def test_what_a_started_plugin_has_for_a_format_over_a_transport_comes_before_ours(
    plugin: str, tmp_path: Path
) -> None:
    (tmp_path / "a.jsonl").write_text('{"from":"disk"}\n')
    MEMORY.put("answers", [{"from": "plugin"}])

    def opened(location: Location) -> Source:
        return open_source("memory://answers") if location.path else open_source("memory://x")

    def put(location: Location, part: Part | None) -> Sink:
        del location
        return open_sink("memory://answers", part=part)

    with owned_by(plugin):
        SOURCES.add("jsonl+file", opened)
        SINKS.add("jsonl+file", put)
    (record,) = open_source(f"jsonl+file://{tmp_path}/a.jsonl").read()
    assert record.values == {"from": "plugin"}
    (record,) = open_source(f"jsonl://{tmp_path}/a.jsonl").read()
    assert record.values == {"from": "disk"}
    sink = open_sink(f"jsonl+file://{tmp_path}/b.jsonl")
    sink.write([{"from": "here"}])
    sink.commit()
    assert not (tmp_path / "b.jsonl").exists()


PROGRAM = """
import sys
from openautoglm.data import open_sink, open_source
from openautoglm.errors import DataUrlError
for url in ("jsonl+file://a.jsonl", "jsonl://a.jsonl", "file://a.jsonl", "a.jsonl"):
    open_source(url).close()
    open_sink(url).abort()
assert "openautoglm.plugins" not in sys.modules, "plugins were looked for"
try:
    open_source("jsonl+sftp://a.jsonl")
except DataUrlError:
    assert "openautoglm.plugins.on_demand" in sys.modules, "no plugin was looked for"
"""


def test_what_is_built_in_is_opened_without_a_look_for_plugins(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("{}\n")
    subprocess.run([sys.executable, "-c", PROGRAM], cwd=tmp_path, check=True)


def test_a_transport_that_is_not_here_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataUrlError, match="over `sftp`"):
        open_source(f"jsonl+sftp://{tmp_path}/a.jsonl")
