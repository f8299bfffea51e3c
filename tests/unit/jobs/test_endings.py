"""Who is to blame for a worker's end."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from openautoglm.jobs.crews.process import read_report
from openautoglm.jobs.endings import in_words, judge, memory_kills
from openautoglm.jobs.orders import Report
from openautoglm.jobs.presence import presence_of


@pytest.mark.parametrize(
    ("code", "report", "is_for_memory", "ending"),
    [
        (0, Report(why="done"), False, "returned"),
        (4, Report(why="stuck"), True, "returned"),
        (0, None, False, "crashed"),
        (1, None, False, "crashed"),
        (-6, None, False, "crashed"),
        (-9, None, False, "killed"),
        (-9, None, True, "crashed"),
        (-9, Report(why="done"), False, "killed"),
    ],
)
def test_an_end_is_judged_by_last_words_and_exit_code(
    code: int, report: Report | None, ending: str, *, is_for_memory: bool
) -> None:
    assert judge(code, report, is_for_memory=is_for_memory) == ending


def test_an_exit_code_is_said_in_words() -> None:
    assert in_words(-11, is_for_memory=False) == "ended by SIGSEGV"
    assert in_words(-9, is_for_memory=True) == "ended by the kernel for want of memory"
    assert in_words(3, is_for_memory=False) == "ended with exit code 3"
    assert in_words(-99, is_for_memory=False) == "ended by signal 99"


def test_the_kernels_count_can_be_read() -> None:
    assert memory_kills() >= 0


@pytest.mark.parametrize("line", [b"", b"hello\n", b'{"why": "bored"}', b"\xff", b"[]"])
def test_last_words_that_are_none_are_no_report(line: bytes) -> None:
    assert read_report(line) is None
    assert read_report(b'{"why": "done"}\n') == Report(why="done")


def test_a_process_is_there_until_it_ends_and_its_number_is_not_it() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    there = presence_of(child.pid)
    assert there.is_here()
    child.kill()
    child.communicate()
    assert there.is_gone()
    assert not there.is_here()
    me = presence_of(os.getpid())
    if me.born:
        assert type(me)(host=me.host, pid=me.pid, born="1").is_gone()
    assert not type(me)(host="another", pid=there.pid, born=there.born).is_gone()
