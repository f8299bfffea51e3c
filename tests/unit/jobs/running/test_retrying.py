"""Errors that may pass are tried again, a while later; all others are not."""

from __future__ import annotations

import threading
import urllib.error
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openautoglm.errors import BackendRequestError, OutputParseError, StepError
from openautoglm.errors.passing import asked_wait_s, may_pass
from openautoglm.jobs.running.retrying import LONGEST_S, Backoff
from openautoglm.testing.openai_server import OpenAIServer

if TYPE_CHECKING:
    from tests.unit.jobs.running.conftest import Site

    from openautoglm.testing.openai_server import Fault


class StatusError(Exception):
    """As clients of HTTP have them."""

    def __init__(self, status_code: int) -> None:
        super().__init__(f"HTTP {status_code}")
        self.status_code = status_code


def raised(error: Exception, cause: Exception | None) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (ConnectionRefusedError(), True),
        (TimeoutError(), True),
        (StatusError(429), True),
        (StatusError(503), True),
        (StatusError(400), False),
        (urllib.error.HTTPError("http://x", 502, "bad", None, None), True),  # type: ignore[arg-type] # of a test
        (BackendRequestError("busy", may_pass=True), True),
        (BackendRequestError("no such model"), False),
        (raised(StepError("in step"), BackendRequestError("busy", may_pass=True)), True),
        (raised(StepError("in step"), OutputParseError("no JSON")), False),
        (ValueError("no date"), False),
        (FileNotFoundError("gone"), False),
        (MemoryError(), False),
    ],
)
def test_what_the_network_or_a_busy_server_does_may_pass(
    error: Exception,
    passes: bool,  # noqa: FBT001 - of the table
) -> None:
    assert may_pass(error) is passes


def test_an_error_raised_while_another_was_handled_may_pass_with_it() -> None:
    def fail() -> None:
        try:
            raise ConnectionResetError  # noqa: TRY301 - as a client does
        except ConnectionResetError:
            raise RuntimeError("the client gives up")  # noqa: B904 - that is what is tested

    with pytest.raises(RuntimeError) as caught:
        fail()
    assert may_pass(caught.value)


def test_an_error_that_is_its_own_cause_is_judged_too() -> None:
    error = ValueError()
    other = raised(KeyError(), error)
    assert not may_pass(raised(error, other))


def test_the_longest_wait_that_is_asked_for_counts_and_has_an_end() -> None:
    inner = BackendRequestError("busy", may_pass=True, wait_s=7.0)
    assert asked_wait_s(raised(StepError("in step"), inner)) == 7.0
    assert asked_wait_s(BackendRequestError("busy", wait_s=1e9)) == 600.0
    assert asked_wait_s(BackendRequestError("busy", wait_s=float("nan"))) == 0.0


@settings(deadline=None)
@given(st.integers(1, 10**6), st.floats(0.001, 100), st.floats(0, 1))
def test_waits_are_random_and_never_longer_than_a_minute(
    failures: int, first_s: float, chance: float
) -> None:
    backoff = Backoff(first_s, lambda: chance)
    assert 0 <= backoff.wait_s(failures) <= LONGEST_S
    assert backoff.steady_wait_s(failures) >= min(first_s, LONGEST_S) / 2


def test_a_row_is_tried_as_often_as_the_job_says_and_then_in_quarantine(site: Site) -> None:
    calls: list[int] = []

    def answer(row: dict[str, Any]) -> dict[str, object]:
        calls.append(row["n"])
        if row["n"] == 3:
            raise ConnectionResetError("by peer")
        return {}

    site.rows(10)
    site.plan(answer, tries=3)
    assert site.work().why == "done"
    assert calls.count(3) == 3
    (row,) = site.ledger.quarantined("letters-1")
    assert (row.key, row.tries) == ("in.jsonl:4", 3)


def test_a_row_whose_error_passes_is_answered(site: Site) -> None:
    calls: list[int] = []

    def answer(row: dict[str, Any]) -> dict[str, object]:
        calls.append(row["n"])
        if calls.count(row["n"]) < 3:
            raise TimeoutError
        return {}

    site.rows(4)
    site.plan(answer, tries=3)
    assert site.work().why == "done"
    assert sorted(calls) == sorted([0, 1, 2, 3] * 3)
    assert site.ledger.counts("letters-1").ok == 4


def test_an_error_that_cannot_pass_is_not_tried_again(site: Site) -> None:
    calls: list[int] = []

    def answer(row: dict[str, Any]) -> dict[str, object]:
        calls.append(row["n"])
        raise ValueError("never")

    site.rows(5)
    site.plan(answer)
    assert site.work().why == "done"
    assert sorted(calls) == list(range(5))


@pytest.mark.parametrize("fault", ["server_error", "rate_limited", "cut", "bad_json"])
def test_a_model_server_that_fails_for_a_while_costs_no_row(site: Site, fault: Fault) -> None:
    site.rows(30)
    with OpenAIServer(faults=[fault] * 12) as server:
        options = {"max_retries": 0, "api_key": "k"}
        named: dict[str, Any] = {"template": "say {n}", "model": server.url, "options": options}
        site.plan(None, **named, tries=4, backoff_s=0.1, shard_rows=30, keep=("n",))
        assert site.work().why == "done"
        assert len(server.requests) == 42
    assert [row["output"] for row in site.answers()] == [f"say {n}" for n in range(30)]
    assert site.ledger.counts("letters-1").tokens > 0


def test_a_model_server_that_knows_no_key_fails_each_row_once(site: Site) -> None:
    site.rows(5)
    with OpenAIServer(faults=["bad_key"] * 5) as server:
        options = {"max_retries": 0, "api_key": "k"}
        site.plan(None, template="say {n}", model=server.url, options=options)
        assert site.work().why == "done"
        assert len(server.requests) == 5
    assert {error["code"] for error in site.failed().values()} == {"OAG308"}


def test_a_server_that_is_down_for_a_while_costs_no_row(site: Site) -> None:
    lock, calls = threading.Lock(), 0

    def answer(_: dict[str, Any]) -> dict[str, object]:
        nonlocal calls
        with lock:
            calls += 1
            is_down = calls <= 12
        if is_down:
            raise ConnectionRefusedError("the server is down")
        return {}

    site.rows(100)
    site.plan(answer, tries=3, concurrency=8, shard_rows=50, backoff_s=0.2)
    assert site.work().why == "done"
    assert site.ledger.counts("letters-1").ok == 100
    assert "worker.waits" in {event.kind for event in site.ledger.events("letters-1")}
