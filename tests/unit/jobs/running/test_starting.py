"""What a worker cannot open at once."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from openautoglm.errors import BackendRequestError, InputNotFoundError
from openautoglm.jobs.running.starting import patiently

if TYPE_CHECKING:
    from conftest import Site  # type: ignore[import-not-found] # of this folder


def test_what_may_pass_is_tried_again() -> None:
    errors = [ConnectionRefusedError(), BackendRequestError("busy", may_pass=True)]

    def begin() -> str:
        if errors:
            raise errors.pop()
        return "open"

    assert patiently(begin, lambda: False) == "open"


def test_what_cannot_pass_or_lasts_too_long_is_raised_at_once() -> None:
    calls: list[Exception] = []

    def begin(error: Exception) -> None:
        calls.append(error)
        raise error

    with pytest.raises(InputNotFoundError):
        patiently(lambda: begin(InputNotFoundError("gone")), lambda: False)
    with pytest.raises(ConnectionRefusedError):
        patiently(lambda: begin(ConnectionRefusedError()), lambda: False, patience_s=0)
    assert len(calls) == 2


def test_who_is_told_to_end_waits_no_longer() -> None:
    told: list[bool] = []

    def begin() -> None:
        told.append(True)
        raise ConnectionRefusedError

    with pytest.raises(ConnectionRefusedError):
        patiently(begin, lambda: bool(told))
    assert len(told) == 1


def test_a_server_that_is_down_when_a_worker_starts_pauses_the_job(site: Site) -> None:
    site.rows(1)
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{server.getsockname()[1]}/v1"
    site.plan(None, template="{n}", model=url, options={"max_retries": 0})

    report = site.work(is_told=lambda: True)

    assert report.why == "stuck"
    assert report.error is not None
    assert "connection" in report.error.problem
