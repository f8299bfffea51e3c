"""Any server that speaks OpenAI's protocol, through the `openai` package.

Owns the `openai` backend: what is sent, what may come back, which errors those are. The package
retries (408, 409, 429, 5xx and lost connections, with exponential back-off, jitter and the server's
Retry-After); an answer that broke off in the middle is not asked for again. The API key is never
part of a message, a repr or a log line.
"""

from __future__ import annotations

import math
import os
import re
import time
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast, final

from openautoglm.engine.backend import ModelInfo, finish
from openautoglm.engine.backends.openai_schema import response_format
from openautoglm.engine.choosing import URL
from openautoglm.engine.generation import FinishReason, Generation, Timings, TokenLogprob
from openautoglm.engine.prompt import as_messages
from openautoglm.engine.sampling import BASIC
from openautoglm.errors import (
    BackendRequestError,
    BackendUnavailableError,
    EngineClosedError,
    InvalidParameterError,
)
from openautoglm.settings import need

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    import openai

    from openautoglm.engine.backend import LoadSpec, Request
    from openautoglm.engine.sampling import SamplingParams

TIMEOUT_S: Final = 60.0
MAX_RETRIES: Final = 4
CONCURRENCY: Final = 8
MAX_NUMBER: Final = 1_000_000
OPENAI_SAMPLING: Final = (
    *BASIC,
    *("presence_penalty", "frequency_penalty", "logit_bias", "logprobs"),
)
BEYOND_OPENAI: Final = {"top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0, "min_tokens": 0}
"""What servers other than OpenAI's take beside the protocol, and the value that changes nothing."""
SAMPLING: Final = (*OPENAI_SAMPLING, *(name for name in BEYOND_OPENAI if name not in BASIC))
NO_KEY: Final = "none"  # servers on one's own machine ask for none, the package insists on one
DENSE: Final = re.compile(r"[\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff]")
LETTERS_PER_TOKEN: Final = 3
FIXES: Final = {
    400: "check the parameters, and the prompt's length against the model's context",
    401: "pass api_key, or set OPENAI_API_KEY",
    403: "pass an api_key that may use this model",
    404: "check base_url (it often ends in /v1) and the model's name",
    422: "check the parameters; the server does not know one of them",
    429: "wait, or lower `concurrency`",
}
PASSING: Final = frozenset({408, 409, 425, 429})
SERVER_ERROR: Final = 500
WAIT_HEADERS: Final = {"retry-after-ms": 0.001, "retry-after": 1.0}
"""What servers call the time to wait, and its unit in seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Options:
    """What a caller may set, checked."""

    base_url: str | None
    api_key: str
    model: str | None
    timeout_s: float
    max_retries: int
    concurrency: int


def load(spec: LoadSpec) -> OpenAIBackend:
    """Connect to a server.

    Raises:
        InvalidParameterError: an option that cannot be.
        BackendUnavailableError: OpenAI's own server, and no key.
        BackendRequestError: no model was named and the server lists none.
    """
    package = need("openai", extra="openai", why="talking to a model server")
    options = _read_options(spec)
    client: openai.OpenAI = package.OpenAI(
        base_url=options.base_url,
        api_key=options.api_key,
        timeout=options.timeout_s,
        max_retries=options.max_retries,
    )
    return OpenAIBackend(client, options)


@final
class OpenAIBackend:
    """Generate on a server. Batches run `concurrency` requests at once."""

    def __init__(self, client: openai.OpenAI, options: _Options) -> None:
        self._client: openai.OpenAI | None = client
        self._options = options
        self._info = ModelInfo(
            backend="openai",
            model=options.model or self._first_model(),
            device="remote",
            concurrency=options.concurrency,
            sampling=SAMPLING if options.base_url else OPENAI_SAMPLING,
        )

    def describe(self) -> ModelInfo:
        """Say which model of the server is used."""
        return self._info

    def count_tokens(self, text: str) -> int:
        """Estimate: one for a Han, kana or Hangul character, one for three others.

        The server's tokenizer is not known here; the numbers in a `Generation` are its own.
        """
        dense = len(DENSE.findall(text))
        return dense + -(-(len(text) - dense) // LETTERS_PER_TOKEN)

    def stream(self, request: Request) -> Iterator[str | Generation]:
        """Yield the pieces of one answer as the server sends them, then the answer."""
        answer = _Answer(started_s=time.monotonic())
        asked = None if request.form is None else response_format(request.form)
        with self._errors(), self._ask(request, asked) as events:
            for event in events:
                piece = answer.read(event)
                if piece:
                    yield piece
                if request.cancel.is_set():
                    answer.reason = "cancelled"
                    break
        yield answer.generation(self._info.model)

    def batch(self, requests: Iterable[Request]) -> Iterator[tuple[int, Generation]]:
        """Keep `concurrency` requests going; yields answers as they come."""
        self._open()
        numbered = iter(enumerate(requests))
        running: dict[Future[Generation], int] = {}
        cancels: list[Request] = []
        executor = ThreadPoolExecutor(self._options.concurrency, "openautoglm-openai")
        try:
            while True:
                while len(running) < self._options.concurrency:
                    item = next(numbered, None)
                    if item is None:
                        break
                    index, request = item
                    cancels = [request]  # all requests of a batch share one event
                    running[executor.submit(finish, self, request)] = index
                if not running:
                    return
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    yield running.pop(future), future.result()
        finally:
            if running:
                for request in cancels:
                    request.cancel.set()
            executor.shutdown(wait=False, cancel_futures=True)

    def close(self) -> None:
        """Close the connections."""
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def _open(self) -> openai.OpenAI:
        if self._client is None:
            raise EngineClosedError("the engine was closed", fix="make a new AutoGLM")
        return self._client

    def _ask(
        self, request: Request, form: dict[str, object] | None
    ) -> openai.Stream[openai.types.chat.ChatCompletionChunk]:
        params = request.params
        limit = "max_tokens" if self._options.base_url else "max_completion_tokens"
        arguments: dict[str, object] = {
            "messages": [m._asdict() for m in as_messages(request.prompt)],
            limit: params.max_length,
            "temperature": params.temperature,
            "top_p": params.top_p if params.top_p < 1 else None,
            "seed": params.seed,
            "stop": list(params.stop) or None,
            "presence_penalty": params.presence_penalty or None,
            "frequency_penalty": params.frequency_penalty or None,
            "logit_bias": {str(token): bias for token, bias in params.bias_pairs} or None,
            "logprobs": None if params.logprobs is None else True,
            "top_logprobs": params.logprobs,
            "response_format": form,
            "extra_body": _beyond_openai(params) or None,
        }
        given = {name: value for name, value in arguments.items() if value is not None}
        stream = self._open().chat.completions.create(
            model=self._info.model, stream=True, stream_options={"include_usage": True}, **given
        )
        return cast("openai.Stream[openai.types.chat.ChatCompletionChunk]", stream)

    def _first_model(self) -> str:
        with self._errors():
            models = self._open().models.list().data
        if not models:
            raise BackendRequestError(
                "the server lists no models", got=self._where, fix='name one: model="…"'
            )
        return str(models[0].id)

    @property
    def _where(self) -> str:
        url = self._options.base_url or "api.openai.com"
        return re.sub(r"//[^/@]*@", "//", url)  # a password in the URL is not shown

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Turn the package's errors, and answers that are not what they should be, into ours."""
        import openai

        try:
            yield
        except openai.APITimeoutError as cause:
            raise BackendRequestError(
                f"the server did not answer within {self._options.timeout_s:g} s",
                got=self._where,
                fix="raise timeout_s, or check the server",
                may_pass=True,
            ) from cause
        except openai.APIStatusError as cause:
            message = str(cause.message).replace(self._options.api_key, "***")
            raise BackendRequestError(
                "the server refused the request",
                got=f"HTTP {cause.status_code} from {self._where}: {message[:300]}",
                fix=FIXES.get(cause.status_code, "try again later, or check the server's log"),
                may_pass=cause.status_code in PASSING or cause.status_code >= SERVER_ERROR,
                wait_s=_wait_s(cause.response.headers),
            ) from None  # the cause holds the request, and with it the key
        except openai.APIConnectionError as cause:
            raise BackendRequestError(
                "the connection to the server failed",
                got=f"{self._where}: {cause.__cause__ or cause}",
                fix="check base_url, and that the server is up",
                may_pass=True,
            ) from cause
        except (openai.APIError, ValueError, TypeError, AttributeError, LookupError) as cause:
            raise BackendRequestError(
                "the server's answer is not what the protocol says",
                got=f"{self._where}: {str(cause)[:200]}".replace(self._options.api_key, "***"),
                fix="check that base_url is an OpenAI-compatible server",
                may_pass=True,
            ) from cause


@final
class _Answer:
    """One answer as its events come in."""

    def __init__(self, *, started_s: float) -> None:
        self.reason: FinishReason | None = None
        self._started_s = started_s
        self._first_s: float | None = None
        self._pieces: list[str] = []
        self._logprobs: list[TokenLogprob] = []
        self._prompt_tokens = self._completion_tokens = 0

    def read(self, event: openai.types.chat.ChatCompletionChunk) -> str:
        """Take one event and return the text it adds."""
        if event.usage is not None:
            self._prompt_tokens = event.usage.prompt_tokens
            self._completion_tokens = event.usage.completion_tokens
        if not event.choices:
            return ""
        choice = event.choices[0]
        if choice.logprobs is not None:
            self._logprobs += map(_logprob, choice.logprobs.content or ())
        if choice.finish_reason is not None:
            self.reason = "length" if choice.finish_reason == "length" else "stop"
        if choice.finish_reason == "content_filter":
            raise BackendRequestError(
                "the server's content filter ended the answer", fix="change the prompt"
            )
        piece: object = choice.delta.content or ""
        if not isinstance(piece, str):  # the package does not check what a server sends
            raise TypeError(f"content is {type(piece).__name__}")
        if piece:
            self._first_s = self._first_s or time.monotonic() - self._started_s
            self._pieces.append(piece)
        return piece

    def generation(self, model: str) -> Generation:
        """Return the whole answer.

        Raises:
            BackendRequestError: it ended without saying why, so it was cut.
        """
        text = "".join(self._pieces)
        if self.reason is None:
            raise BackendRequestError(
                "the server's answer broke off" if text else "the server's answer holds no text",
                got=f"{len(text)} characters: {text[-60:]!r}",
                fix="try again; if it stays so, check that base_url is an OpenAI-compatible server",
                may_pass=True,
            )
        return Generation(
            text=text,
            finish_reason=self.reason,
            prompt_tokens=self._prompt_tokens,
            completion_tokens=self._completion_tokens or len(self._pieces),
            timings=Timings(
                first_token_s=self._first_s, total_s=time.monotonic() - self._started_s
            ),
            model=model,
            logprobs=tuple(self._logprobs),
        )


def _wait_s(headers: Mapping[str, str]) -> float | None:
    """Return how long the server asks to wait; a date is no number, and passed over."""
    for name, unit_s in WAIT_HEADERS.items():
        try:
            wait_s = float(headers[name]) * unit_s
        except (KeyError, ValueError):
            continue
        if 0 <= wait_s < math.inf:
            return wait_s
    return None


def _beyond_openai(params: SamplingParams) -> dict[str, object]:
    values = ((name, getattr(params, name)) for name in BEYOND_OPENAI)
    return {name: value for name, value in values if value != BEYOND_OPENAI[name]}


def _logprob(token: openai.types.chat.ChatCompletionTokenLogprob) -> TokenLogprob:
    top = tuple((other.token, other.logprob) for other in token.top_logprobs or ())
    return TokenLogprob(token=token.token, logprob=token.logprob, top=top)


def _read_options(spec: LoadSpec) -> _Options:
    given = spec.options
    is_url = spec.model is not None and URL.fullmatch(spec.model) is not None
    base_url = given.get("base_url", spec.model if is_url else os.environ.get("OPENAI_BASE_URL"))
    model = given.get("model", None if is_url else spec.model)
    api_key = given.get("api_key") or os.environ.get("OPENAI_API_KEY")
    for name, value in (("base_url", base_url), ("model", model), ("api_key", api_key)):
        if value is not None and not (isinstance(value, str) and value.strip()):
            raise InvalidParameterError(f"`{name}` must be a text", got=type(value).__name__)
    if base_url is not None and not URL.fullmatch(str(base_url)):
        raise InvalidParameterError(
            "`base_url` is no http(s) URL", got=base_url, fix='base_url="http://127.0.0.1:8000/v1"'
        )
    if base_url is None and api_key is None:
        raise BackendUnavailableError(
            "OpenAI's own server needs a key", fix="pass api_key, set OPENAI_API_KEY, or a base_url"
        )
    return _Options(
        base_url=cast("str | None", base_url),
        api_key=api_key if isinstance(api_key, str) else NO_KEY,
        model=cast("str | None", model),
        timeout_s=_number(given, "timeout_s", TIMEOUT_S, low=0.001),
        max_retries=int(_number(given, "max_retries", MAX_RETRIES, low=0)),
        concurrency=int(_number(given, "concurrency", CONCURRENCY, low=1)),
    )


def _number(given: Mapping[str, object], name: str, default: float, *, low: float) -> float:
    value = given.get(name, default)
    is_whole = name != "timeout_s"
    kinds = int if is_whole else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds):
        kind = "a whole number" if is_whole else "a number"
        raise InvalidParameterError(
            f"`{name}` must be {kind}", got=repr(value), fix=f"{name}={default:g}"
        )
    if not low <= value <= MAX_NUMBER:  # NaN and infinity are refused too
        raise InvalidParameterError(
            f"`{name}` must be at least {low:g}", got=value, fix=f"{name}={default:g}"
        )
    return value
