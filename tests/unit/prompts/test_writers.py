"""Several writers of one store: each waits for the others, and nothing is lost."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import textwrap
import threading
from typing import TYPE_CHECKING

import pytest

from openautoglm.errors import PromptStoreError
from openautoglm.prompts.lock import is_held, locked
from openautoglm.prompts.store import PromptStore
from openautoglm.prompts.template import PromptTemplate

if TYPE_CHECKING:
    from pathlib import Path


def test_writers_in_threads_lose_nothing(tmp_path: Path) -> None:
    def write(writer: int) -> None:
        for turn in range(5):
            PromptStore(tmp_path).save("ask", PromptTemplate(f"{writer}.{turn}", []))

    writers = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert len(PromptStore(tmp_path).versions("ask")) == 20


def test_writers_in_processes_lose_nothing(tmp_path: Path) -> None:
    program = """
        import sys
        from openautoglm import PromptStore, PromptTemplate
        for turn in range(5):
            PromptStore(sys.argv[1]).save("ask", PromptTemplate(f"{sys.argv[2]}.{turn}", []))
    """
    command = [sys.executable, "-c", textwrap.dedent(program), str(tmp_path)]
    writers = [subprocess.Popen([*command, str(number)]) for number in range(3)]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    templates = {str(v.template.template) for v in PromptStore(tmp_path).versions("ask")}
    assert templates == {f"{writer}.{turn}" for writer in range(3) for turn in range(5)}
    if os.name == "posix":
        assert [path.name for path in tmp_path.iterdir()] == ["ask.yaml"]


def test_a_writer_that_hangs_ends_in_an_error(tmp_path: Path) -> None:
    with (
        locked(tmp_path),
        pytest.raises(PromptStoreError, match="has been writing"),
        locked(tmp_path, patience_s=0.02),
    ):
        pass
    with locked(tmp_path, patience_s=0.02):
        pass


def test_a_folder_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(PromptStoreError, match="cannot be opened") as caught,
        locked(tmp_path / "gone"),
    ):
        pass
    assert "gone" in str(caught.value.got)


def test_a_file_system_without_locks_is_not_a_writer_that_hangs() -> None:
    assert is_held(BlockingIOError(errno.EWOULDBLOCK, "held"))
    assert not is_held(OSError(errno.ENOLCK, "no locks"))
