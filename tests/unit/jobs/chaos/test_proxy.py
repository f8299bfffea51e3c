"""A way to a model server that answers rubbish for a while."""

from __future__ import annotations

import http.client
import json
import random
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

import pytest

from openautoglm import AutoGLM
from openautoglm.errors import BackendRequestError
from openautoglm.jobs import JobSpec
from openautoglm.jobs.chaos.proxy import WRONGS, Proxy, Wrong
from openautoglm.jobs.chaos.serving import between, server_of
from openautoglm.testing.openai_server import OpenAIServer

if TYPE_CHECKING:
    from collections.abc import Iterator


def engine_at(url: str) -> AutoGLM:
    """Return a model that gives up at once."""
    return AutoGLM(url, max_retries=0, timeout_s=2.0)


class Always(random.Random):
    """Chance that has made up its mind."""

    def __init__(self, wrong: Wrong) -> None:
        super().__init__(0)
        self._always = wrong

    def choice(self, seq: object) -> Wrong:  # type: ignore[override] # of what it decided on
        """Return it, whatever there is."""
        assert self._always in cast("tuple[Wrong, ...]", seq)
        return self._always


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    """A way to a server that repeats what it is asked."""
    with OpenAIServer() as server, Proxy(server.url) as made:
        yield made


def test_requests_pass_through(proxy: Proxy) -> None:
    with engine_at(proxy.url) as engine:
        assert engine.run("hello").text == "hello"
    assert not proxy.answers


@pytest.mark.parametrize("wrong", WRONGS)
def test_no_wrong_answer_is_taken_for_a_right_one(proxy: Proxy, wrong: Wrong) -> None:
    with engine_at(proxy.url) as engine:
        assert engine.run("hello").text == "hello"
        with proxy.bad(Always(wrong)), pytest.raises(BackendRequestError) as refused:
            engine.run("hello, and so long that half of it is less")
        assert refused.value.may_pass
        assert proxy.answers == {wrong: 1}
        assert engine.run("again").text == "again"


def test_who_is_too_fast_is_told_how_long_to_wait(proxy: Proxy) -> None:
    with proxy.bad(Always("429")):
        there = http.client.HTTPConnection("127.0.0.1", proxy.port)
        there.request("POST", f"{urlsplit(proxy.url).path}/chat/completions", b"{}")
        answer = there.getresponse()
        assert (answer.status, answer.headers["Retry-After"]) == (429, "1")
        assert "error" in json.load(answer)
        there.close()


def test_a_server_that_is_down_refuses_and_comes_back_where_it_was(proxy: Proxy) -> None:
    url = proxy.url
    with proxy.down() as cut:
        assert cut == 0
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", proxy.port))
    assert proxy.url == url
    with engine_at(url) as engine:
        assert engine.run("hello").text == "hello"


def test_whoever_is_under_way_when_a_server_goes_down_is_cut_off(proxy: Proxy) -> None:
    there = socket.create_connection(("127.0.0.1", proxy.port))
    there.sendall(b"POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\n")  # and no more
    while not proxy.under_way:
        there.settimeout(0.01)
        with suppress(TimeoutError):
            there.recv(1)
    there.settimeout(30)
    with proxy.down() as cut:
        assert cut == 1
        assert there.recv(1) == b""
    there.close()


def test_a_job_asks_the_proxy_however_it_names_its_server() -> None:
    plain = JobSpec(source="a", sink="b", template="{text}")
    url = "http://127.0.0.1:9/v1"

    with between(plain) as (spec, proxy):
        assert (spec, proxy) == (plain, None)
    assert server_of(JobSpec(source="a", sink="b", model="nano")) is None
    for named in ({"model": url}, {"model": "glm", "options": {"base_url": url}}):
        job = JobSpec(source="a", sink="b", template="{text}", **named)
        assert server_of(job) == url
        with between(job) as (spec, proxy):
            assert proxy is not None
            assert server_of(spec) == proxy.url != url
