"""Rows with the same values are answered once, in this job and in those after it."""

from __future__ import annotations

import errno
import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from openautoglm.errors import LedgerError
from openautoglm.jobs.running import asked_elsewhere
from openautoglm.jobs.running.answers_file import NAME, AnswersFile, clear_answers
from openautoglm.jobs.running.cache import AnswerCache
from openautoglm.jobs.running.tries import Parked
from openautoglm.jobs.work import Answer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.unit.jobs.running.conftest import Site


def cache(
    folder: Path, *, fingerprint: str = "f", takes: tuple[str, ...] | None = None
) -> AnswerCache:
    return AnswerCache(folder / "answers.db", {"work": fingerprint}, takes, lambda _: None)


@contextmanager
def another_process(folder: Path) -> Iterator[str]:
    """Have a process ask for the row `{"a": 1}`; yield what it was told, and kill it at the end."""
    asking = (
        "import sys; from pathlib import Path\n"
        "from openautoglm.jobs.running.cache import AnswerCache\n"
        "one = AnswerCache(Path(sys.argv[1]), {}, None, print)\n"
        "print(one.take(one.key({'a': 1})), flush=True); sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", asking, str(folder / NAME)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()


def test_same_rows_are_answered_once(site: Site) -> None:
    calls: list[str] = []

    def answer(row: dict[str, Any]) -> dict[str, object]:
        calls.append(row["text"])
        return {"upper": row["text"].upper()}

    site.lines(f'{{"text": "{letter}"}}' for letter in "abc" * 40)
    site.plan(answer, cache=True, concurrency=8, shard_rows=60)
    assert site.work().why == "done"
    assert sorted(calls) == ["a", "b", "c"]
    assert [row["upper"] for row in site.answers()] == list("ABC" * 40)
    site.plan(answer, cache=True, shard_rows=60, job="another")
    assert site.work(job="another").why == "done"
    assert site.ledger.counts("another").ok == 120
    assert len(calls) == 3


def test_a_row_that_comes_while_its_like_is_answered_waits_for_that(site: Site) -> None:
    calls, others = 0, threading.Event()

    def answer(row: dict[str, Any]) -> dict[str, object]:
        nonlocal calls
        if row["text"] == "other":
            others.set()
            return {}
        calls += 1
        others.wait(10)
        return {}

    site.lines(['{"text": "same"}'] * 6 + ['{"text": "other"}'])
    site.plan(answer, cache=True, concurrency=3)
    assert site.work().why == "done"
    assert calls == 1
    assert site.ledger.counts("letters-1").ok == 7


def test_when_the_one_that_is_waited_for_fails_another_one_is_asked(site: Site) -> None:
    lock, calls = threading.Lock(), 0

    def answer(_: dict[str, Any]) -> dict[str, object]:
        nonlocal calls
        with lock:
            calls += 1
            if calls <= 2:
                raise ValueError("not yet")
        return {}

    site.lines(['{"text": "same"}'] * 5)
    site.plan(answer, cache=True)
    assert site.work().why == "done"
    counts = site.ledger.counts("letters-1")
    assert (counts.ok, counts.failed, calls) == (3, 2, 3)


def test_an_answer_is_kept_for_who_looks_at_the_same_values(tmp_path: Path) -> None:
    with cache(tmp_path, takes=("text",)) as one:
        key = one.key({"text": "a", "id": 1})
        assert one.take(key) is None
        one.put(key, Answer(outputs={"out": 1}, tokens=9))
    with cache(tmp_path, takes=("text",)) as again:
        assert again.take(again.key({"id": 2, "text": "a"})) == Answer(outputs={"out": 1})
        assert again.take(again.key({"text": "b"})) is None


def test_another_work_has_other_answers(tmp_path: Path) -> None:
    with cache(tmp_path) as one, cache(tmp_path, fingerprint="g") as other:
        assert one.key({"a": 1}) != other.key({"a": 1})


def test_the_order_of_columns_does_not_count(tmp_path: Path) -> None:
    with cache(tmp_path) as one:
        assert one.key({"a": 1, "b": 2}) == one.key({"b": 2, "a": 1})


def test_what_is_under_way_is_parked_until_it_is_there_or_given_up(tmp_path: Path) -> None:
    freed: list[bytes] = []
    with AnswerCache(tmp_path / "answers.db", {}, None, freed.append) as one:
        key = one.key({"a": 1})
        assert one.take(key) is None
        assert isinstance(one.take(key), Parked)
        one.give_up(key)
        assert freed == [key]
        assert one.take(key) is None
        one.put(key, Answer(outputs={}))
        assert freed == [key, key]
        assert one.take(key) == Answer(outputs={})


def test_a_file_that_is_no_cache_is_refused(tmp_path: Path) -> None:
    (tmp_path / "answers.db").write_bytes(b"something else " * 100)
    with pytest.raises(LedgerError, match="cache"):
        cache(tmp_path)


def test_a_file_of_answers_stays_within_its_limit_and_forgets_the_oldest(tmp_path: Path) -> None:
    file, limit_bytes = tmp_path / NAME, 256 << 10
    with AnswerCache(file, {}, None, lambda _: None, limit_bytes=limit_bytes) as one:
        keys = [one.key({"n": n}) for n in range(3000)]
        for start in range(0, 3000, 100):
            for key in keys[start : start + 100]:
                assert one.take(key) is None
                one.put(key, Answer(outputs={"out": "x" * 400}))
            one.flush()
    assert file.stat().st_size <= limit_bytes * 2
    with AnswerCache(file, {}, None, lambda _: None, limit_bytes=limit_bytes) as again:
        assert again.take(keys[0]) is None
        assert again.take(keys[-1]) == Answer(outputs={"out": "x" * 400})


def test_an_answer_that_would_fill_the_file_is_not_kept(tmp_path: Path) -> None:
    with AnswerCache(tmp_path / NAME, {}, None, lambda _: None, limit_bytes=1 << 16) as one:
        small, large = one.key({"n": 1}), one.key({"n": 2})
        for key, text in ((small, "x"), (large, "x" * (1 << 16))):
            assert one.take(key) is None
            one.put(key, Answer(outputs={"out": text}))
        one.flush()
        assert one.take(small) is not None
        assert one.take(large) is None


def test_all_answers_can_be_forgotten(tmp_path: Path) -> None:
    with cache(tmp_path) as one:
        assert one.take(one.key({"a": 1})) is None
        one.put(one.key({"a": 1}), Answer(outputs={}))
        one.flush()
        assert clear_answers(tmp_path) == 1
        assert one.take(one.key({"a": 1})) is None


def test_rows_with_the_same_values_are_answered_once_over_all_processes_of_a_job(
    site: Site,
) -> None:
    calls = site.folder / "calls"
    (site.folder / "job_of_a_test.py").write_text(
        "import os, time\n"
        f"def ask(row):\n    fd = os.open({str(calls)!r}, os.O_CREAT | os.O_APPEND | os.O_WRONLY)\n"
        "    os.write(fd, (row['text'] + '\\n').encode())\n"
        "    time.sleep(0.05)\n"
        "    return {'upper': row['text'].upper()}\n"
    )
    site.lines(f'{{"text": "{letter}"}}' for letter in "abcdefgh" * 20)
    site.plan("job_of_a_test:ask", cache=True, concurrency=8, shard_rows=8)
    both = [site.start(index=n, of=2)[0] for n in range(2)]
    assert [site.heard(process).why for process in both] == ["done", "done"]
    assert sorted(calls.read_text().split()) == list("abcdefgh")
    assert len(site.answers()) == 160


def test_a_row_that_a_dead_process_had_is_answered_by_another_one(tmp_path: Path) -> None:
    freed: list[bytes] = []
    with AnswerCache(tmp_path / NAME, {}, None, freed.append) as one:
        with another_process(tmp_path) as said:
            assert said == "None"
            key = one.key({"a": 1})
            assert isinstance(one.take(key), Parked)
            assert one.is_under_way(key)
            one.flush()
            assert freed == []
        one.flush()
        assert freed == [key]
        assert one.take(key) is None


def test_a_row_that_ends_after_its_worker_did_harms_nothing(tmp_path: Path) -> None:
    with cache(tmp_path) as one:
        first, second = one.key({"a": 1}), one.key({"a": 2})
        assert one.take(first) is None
        assert one.take(second) is None
    one.put(first, Answer(outputs={}))
    one.give_up(second)
    one.flush()


def test_a_row_that_must_not_wait_is_answered_though_another_process_does(tmp_path: Path) -> None:
    freed: list[bytes] = []
    with AnswerCache(tmp_path / NAME, {}, None, freed.append) as one, another_process(tmp_path):
        key = one.key({"a": 1})
        assert isinstance(one.take(key), Parked)
        assert one.take(key, waits=False) is None
        one.put(key, Answer(outputs={}))
        assert freed == [key]


def test_what_was_begun_where_another_process_left_it_stays_begun(tmp_path: Path) -> None:
    freed: list[bytes] = []
    with AnswerCache(tmp_path / NAME, {}, None, freed.append) as one:
        key = one.key({"a": 1})
        with another_process(tmp_path):
            assert isinstance(one.take(key), Parked)
        assert one.take(key) is None
        one.flush()
        with another_process(tmp_path) as said:
            assert "Parked" in said
        assert freed == []
        one.put(key, Answer(outputs={}))
        assert freed == [key]


def test_a_disk_without_locks_fails_no_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "no locks here")

    without = SimpleNamespace(lockf=refuse, LOCK_EX=1, LOCK_NB=2, LOCK_UN=4)
    monkeypatch.setattr(asked_elsewhere, "_FCNTL", without)
    with cache(tmp_path) as one:
        key = one.key({"a": 1})
        for _ in range(2):
            assert one.take(key) is None
            one.give_up(key)


def test_what_an_earlier_version_kept_takes_no_room(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / NAME)) as earlier:
        earlier.execute("create table answer(key blob, outputs blob)")
        earlier.execute("insert into answer values (x'00', zeroblob(1000000))")
        earlier.commit()
    with closing(AnswersFile(tmp_path / NAME, 1 << 16)) as file:
        file.write({b"k": {"out": 1}})
        assert file.read(b"k") == {"out": 1}


def test_many_may_open_a_fresh_file_at_once(tmp_path: Path) -> None:
    def use(number: int) -> None:
        AnswersFile(tmp_path / str(number // 4) / NAME, 1 << 16).close()

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(use, range(80)))
