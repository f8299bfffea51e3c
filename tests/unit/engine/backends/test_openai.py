from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

from openautoglm import AutoGLM
from openautoglm.engine.backends.openai import _wait_s
from openautoglm.engine.backends.openai_schema import response_format
from openautoglm.engine.structured import Form
from openautoglm.errors import (
    BackendRequestError,
    BackendUnavailableError,
    InvalidParameterError,
)
from openautoglm.testing import EchoBackend
from openautoglm.testing.openai_server import OpenAIServer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from openautoglm.testing.openai_server import Fault

KEY = "sk-secret-123"
SCHEMA = {
    "type": "object",
    "properties": {"ok": {"type": "boolean"}},
    "required": ["ok"],
    "additionalProperties": False,
}


def test_a_server_answers_and_its_numbers_are_kept() -> None:
    with OpenAIServer() as server, AutoGLM(server.url) as engine:
        generation = engine.run("你好 👋🏽")
        assert generation.text == "你好 👋🏽"
        assert (generation.prompt_tokens, generation.completion_tokens) == (5, 5)
        assert (generation.model, engine.model_info.backend) == ("echo", "openai")


def test_what_is_sent_is_what_was_asked_and_no_more() -> None:
    with OpenAIServer() as server, AutoGLM(server.url, model="m") as engine:
        engine.run("hi", max_length=5)
        engine.run("hi", temperature=0.5, top_p=0.9, top_k=3, seed=4, stop="x", schema=SCHEMA)
        first, second = server.requests
    assert first == {
        "model": "m",
        "messages": [{"role": "user", "content": "hi"}],
        "max_tokens": 5,
        "temperature": 0.0,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    expected = {"top_p": 0.9, "top_k": 3, "seed": 4, "stop": ["x"]}
    assert {key: second[key] for key in expected} == expected
    assert second["response_format"] == response_format(Form(kind="json_schema", schema=SCHEMA))


@pytest.mark.parametrize("fault", ["rate_limited", "server_error"])
def test_what_may_pass_is_tried_again(fault: Fault) -> None:
    with (
        OpenAIServer(faults=[fault, fault]) as server,
        AutoGLM(server.url, max_retries=2) as engine,
    ):
        assert engine.run("hi").text == "hi"
        assert len(server.requests) == 3


FAULTS: Mapping[Fault, str] = {
    "rate_limited": "HTTP 429",
    "server_error": "HTTP 500",
    "bad_key": "HTTP 401",
    "cut": "connection to the server failed",
    "no_end": "broke off",
    "bad_json": "not what the protocol says",
    "bad_shape": "not what the protocol says",
    "html": "holds no text",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_server_that_fails_ends_in_one_error_with_a_fix(fault: Fault) -> None:
    with (
        OpenAIServer(faults=[fault]) as server,
        AutoGLM(server.url, max_retries=0) as engine,
    ):
        with pytest.raises(BackendRequestError, match=FAULTS[fault]) as caught:
            engine.run("hello")
        assert caught.value.fix
        assert caught.value.may_pass is (fault != "bad_key")
        assert engine.run("again").text == "again"


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({"retry-after": "3"}, 3.0),
        ({"retry-after": "3", "retry-after-ms": "20"}, 0.02),
        ({"retry-after": "Mon, 23 Nov 2026 16:00:00 GMT"}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "nan"}, None),
        ({}, None),
    ],
)
def test_how_long_a_server_asks_to_wait_is_read_where_it_is_a_number(
    headers: Mapping[str, str], wait_s: float | None
) -> None:
    assert _wait_s(headers) == wait_s


def test_a_server_that_says_nothing_is_given_up_on() -> None:
    with (
        OpenAIServer(faults=["hang"]) as server,
        AutoGLM(server.url, model="m", max_retries=0, timeout_s=0.1) as engine,
        pytest.raises(BackendRequestError, match=r"did not answer within 0\.1 s"),
    ):
        engine.run("hello")


@pytest.mark.parametrize("fault", ["cut", "no_end"])
def test_a_stream_that_breaks_off_keeps_what_came(fault: Fault) -> None:
    with OpenAIServer(faults=[fault, fault]) as server, AutoGLM(server.url) as engine:
        stream = engine.stream("hello")
        with pytest.raises(BackendRequestError):
            list(stream)
        assert stream.generation is not None
        assert (stream.generation.text, stream.generation.finish_reason) == ("hel", "error")
        (answer,) = engine.batch(["hello"], on_error="keep")
        assert (answer.text, answer.finish_reason) == ("hel", "error")


def test_a_batch_keeps_order_and_one_failure_to_itself() -> None:
    prompts = [f"prompt {number}" for number in range(20)]
    with (
        OpenAIServer(faults=["none", "bad_key"]) as server,
        AutoGLM(server.url, concurrency=4) as engine,
    ):
        answers = list(engine.batch(prompts, on_error="keep"))
    failed = [a for a in answers if a.finish_reason == "error"]
    assert len(failed) == 1
    assert all(a.text in {p, ""} for a, p in zip(answers, prompts, strict=True))


def test_the_key_is_never_shown(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with (
        OpenAIServer(faults=["bad_key"]) as server,
        AutoGLM(server.url, api_key=KEY) as engine,
    ):
        with pytest.raises(BackendRequestError) as caught:
            engine.run("hi")
        shown = f"{caught.value} {caught.value!r} {engine!r} {engine.model_info} {engine.__dict__}"
    assert "Bearer ***" in shown
    assert KEY not in shown
    assert KEY not in caplog.text
    assert caught.value.__cause__ is None


def test_the_key_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    with pytest.raises(BackendUnavailableError, match="OPENAI_API_KEY"):
        AutoGLM("gpt-x", backend="openai")
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with OpenAIServer(faults=["bad_key"]) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        with (
            AutoGLM("gpt-x", backend="openai") as engine,
            pytest.raises(BackendRequestError, match=r"Bearer \*\*\*"),
        ):
            engine.run("hi")


def test_a_server_that_is_not_there_is_named() -> None:
    with OpenAIServer() as server:
        url = server.url
    with pytest.raises(BackendRequestError, match=r"127\.0\.0\.1"):
        AutoGLM(url, max_retries=0)


@pytest.mark.parametrize(
    "options",
    [
        {"base_url": "ftp://a"},
        {"base_url": 7},
        {"timeout_s": 0},
        {"timeout_s": float("nan")},
        {"timeout_s": "1"},
        {"max_retries": -1},
        {"max_retries": 1.5},
        {"max_retries": True},
        {"concurrency": 0},
        {"model": ""},
        {"api_key": 7},
    ],
    ids=str,
)
def test_an_option_that_cannot_be_is_refused(options: dict[str, object]) -> None:
    with pytest.raises(InvalidParameterError):
        AutoGLM("http://127.0.0.1:9/v1", backend="openai", **options)  # type: ignore[arg-type] # a table of names


def test_a_server_that_ignores_the_schema_is_found_out() -> None:
    with (
        OpenAIServer(EchoBackend(["sure!"])) as server,
        AutoGLM(server.url) as engine,
        pytest.raises(ValueError, match="OAG313"),
    ):
        engine.run("hi", schema=SCHEMA)


def test_strict_is_asked_for_only_where_its_rules_hold() -> None:
    open_schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    schemas = (SCHEMA, {"anyOf": [SCHEMA, open_schema]})
    forms = [response_format(Form(kind="json_schema", schema=schema)) for schema in schemas]
    assert [f["json_schema"]["strict"] for f in forms] == [True, False]  # type: ignore[index] # our own shape


def test_a_form_of_openais_is_sent_as_it_was_asked_for_and_others_are_refused() -> None:
    body: dict[str, object] = {"name": "mine", "schema": SCHEMA, "strict": False}
    with OpenAIServer() as server, AutoGLM(server.url, model="m") as engine:
        engine.run("hi", response_format={"type": "json_schema", "json_schema": body})
        with pytest.raises(ValueError, match="OAG313"):  # what it says is no object
            engine.run("hi", response_format={"type": "json_object"})
        with pytest.raises(InvalidParameterError, match="cannot be asked for a `choice`"):
            engine.run("hi", choice=["yes", "no"])
        first, second = server.requests
    assert first["response_format"] == {
        "type": "json_schema",
        "json_schema": {**body, "strict": True},
    }
    assert second["response_format"] == {"type": "json_object"}


def test_tokens_are_estimated_where_the_tokenizer_is_far_away() -> None:
    with OpenAIServer() as server, AutoGLM(server.url) as engine:
        assert engine.count_tokens("你好吗") == 3
        assert engine.count_tokens("abcdefg") == 3


def test_penalties_and_bias_are_sent_as_the_protocol_and_common_servers_have_them() -> None:
    asked = {"presence_penalty": 0.5, "frequency_penalty": -1.0, "min_p": 0.1}
    more = {"repetition_penalty": 1.2, "min_tokens": 2}
    with OpenAIServer() as server, AutoGLM(server.url, model="m") as engine:
        engine.run("hi", logit_bias={7: 5, 3: -100}, logprobs=2, **asked, **more)  # type: ignore[arg-type]  # by name
        (sent,) = server.requests
    expected = {**asked, **more, "logit_bias": {"3": -100.0, "7": 5.0}}
    assert {key: sent[key] for key in expected} == expected
    assert (sent["logprobs"], sent["top_logprobs"]) == (True, 2)


def test_openais_own_server_is_not_asked_for_what_it_does_not_have() -> None:
    with (
        AutoGLM(backend="openai", model="m", api_key=KEY) as engine,
        pytest.raises(InvalidParameterError, match="min_p"),
    ):
        engine.run("hi", min_p=0.1)
