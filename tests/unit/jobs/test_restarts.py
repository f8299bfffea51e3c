"""A worker that died comes back, later each time, and not for ever."""

from __future__ import annotations

from openautoglm.jobs.restarts import HOPELESS, Restarts


def test_the_first_comes_back_at_once_and_others_wait_longer_and_longer() -> None:
    restarts = Restarts(of=1)
    waits = []
    for death in range(7):
        now_s = 100.0 * death
        restarts.died(0, "crashed", now_s=now_s, done=5)
        waits.append(round(restarts._due_s[0] - now_s, 3))
        assert restarts.due(now_s=now_s + 99) == [0]
        assert restarts.due(now_s=now_s + 99) == []
    assert waits == [0.0, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2]


def test_rows_that_were_done_in_between_make_it_the_first_again() -> None:
    restarts = Restarts(of=1)
    for death in range(100):
        restarts.died(0, "crashed", now_s=0.0, done=death)
        assert restarts.due(now_s=0.0) == [0]
    assert not restarts.is_hopeless


def test_deaths_of_its_own_making_with_nothing_done_are_hopeless_at_last() -> None:
    restarts = Restarts(of=2)
    for death in range(HOPELESS + 4):
        assert not restarts.is_hopeless, death
        restarts.died(death % 2, "crashed", now_s=0.0, done=0)
    assert restarts.is_hopeless


def test_whoever_kills_workers_makes_no_job_fail() -> None:
    restarts = Restarts(of=1)
    for _ in range(100):
        restarts.died(0, "killed", now_s=0.0, done=0)
    assert not restarts.is_hopeless
    assert restarts.due(now_s=1.0) == [0]


def test_a_worker_that_did_not_die_comes_back_when_it_is_asked_to() -> None:
    restarts = Restarts(of=2)
    restarts.later(1, now_s=5.0, wait_s=0.5)
    assert restarts.due(now_s=5.4) == []
    assert restarts.due(now_s=5.5) == [1]
