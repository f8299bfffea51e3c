"""Where most rows fail, all wait, and one at a time looks whether that is over."""

from __future__ import annotations

from openautoglm.jobs.running.breaker import MOST, WINDOW, Breaker
from openautoglm.jobs.running.retrying import Backoff


def breaker() -> Breaker:
    return Breaker(Backoff(1.0, lambda: 1.0))


def storm(now_s: float = 0.0) -> Breaker:
    made = breaker()
    for _ in range(MOST):
        assert made.failed(now_s, asked_s=0.0, is_probe=False, is_first=True)
    return made


def test_rows_go_while_less_than_half_of_them_fail() -> None:
    one = breaker()
    for _ in range(100):
        for _ in range(MOST - 1):
            assert one.failed(0.0, asked_s=0.0, is_probe=False, is_first=True)
        for _ in range(WINDOW):
            one.passed(is_probe=False)
    assert one.gate(0.0) == "open"


def test_one_row_that_fails_again_and_again_says_nothing_of_the_others() -> None:
    one = breaker()
    for _ in range(5 * WINDOW):
        one.failed(0.0, asked_s=0.0, is_probe=False, is_first=False)
    assert one.gate(0.0) == "open"


def test_when_half_of_them_fail_none_goes_and_then_one() -> None:
    one = storm()
    assert one.gate(0.5) == "shut"
    assert one.gate(1.0) == "one"
    one.probe()
    assert one.gate(1.0) == "shut"


def test_rows_that_were_under_way_when_all_failed_keep_their_tries() -> None:
    one = storm()
    assert not one.failed(0.1, asked_s=0.0, is_probe=False, is_first=True)


def test_waits_double_while_the_probes_fail_and_their_tries_count() -> None:
    one = storm()
    at_s = 1.0
    for wait_s in (2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0):
        one.probe()
        assert one.failed(at_s, asked_s=0.0, is_probe=True, is_first=True)
        assert one.gate(at_s + wait_s - 0.01) == "shut"
        at_s += wait_s
        assert one.gate(at_s) == "one"
    assert one.storms == 1


def test_a_probe_that_is_answered_lets_all_go() -> None:
    one = storm()
    one.probe()
    one.passed(is_probe=True)
    assert one.gate(1.0) == "open"
    assert not one.is_storm


def test_a_server_that_says_when_to_come_back_is_not_asked_before() -> None:
    one = breaker()
    for _ in range(MOST):
        one.failed(0.0, asked_s=30.0, is_probe=False, is_first=True)
    one.failed(1.0, asked_s=40.0, is_probe=False, is_first=True)
    assert one.gate(40.9) == "shut"
    assert one.gate(41.0) == "one"


def test_a_probe_that_was_put_aside_lets_another_one_go() -> None:
    one = storm()
    one.probe()
    one.withdraw()
    assert one.gate(1.0) == "one"


def test_after_calm_the_first_wait_is_short_again() -> None:
    one = storm()
    for _ in range(5):
        one.probe()
        one.failed(0.0, asked_s=0.0, is_probe=True, is_first=False)
    one.probe()
    one.passed(is_probe=True)
    for _ in range(WINDOW):
        one.passed(is_probe=False)
    for _ in range(MOST):
        one.failed(100.0, asked_s=0.0, is_probe=False, is_first=True)
    assert one.gate(101.0) == "one"
    assert one.storms == 2
