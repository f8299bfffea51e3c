"""A server that speaks OpenAI's protocol on this machine, and breaks it when told to.

Owns `OpenAIServer`. For tests: it answers with any backend, the echo by default.
"""

from __future__ import annotations

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Final, Literal, Self, TypeAlias, cast, final

from openautoglm.engine.backend import Backend, Request
from openautoglm.engine.generation import Generation
from openautoglm.engine.prompt import read_prompt
from openautoglm.engine.sampling import SamplingParams
from openautoglm.errors import OpenAutoGLMError
from openautoglm.testing.echo import EchoBackend

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from types import TracebackType

Fault: TypeAlias = Literal[
    "none",  # answer as asked
    "rate_limited",  # 429 with a Retry-After of one millisecond
    "server_error",  # 500, the same
    "bad_key",  # 401, repeating the key it was sent
    "hang",  # say nothing until the server closes
    "cut",  # drop the connection after three pieces
    "no_end",  # end the stream after three pieces without saying why
    "bad_json",  # an event that is not JSON
    "bad_shape",  # an event that is JSON of another shape
    "html",  # a page instead of a stream
]
PIECES_BEFORE_CUT: Final = 3
STATUSES: Final = {"rate_limited": 429, "server_error": 500, "bad_key": 401}
OURS: Final = {"max_tokens": "max_length", "max_completion_tokens": "max_length"}
PASSED: Final = ("temperature", "top_p", "top_k", "seed", "stop")


@final
class OpenAIServer:
    """Serve `/v1/models` and `/v1/chat/completions` on a free port of 127.0.0.1.

    Args:
        backend: what answers.
        faults: what goes wrong with the first, second, … completion; then nothing does.

    Attributes:
        requests: the bodies of the completions asked for, in order.

    Example:
        >>> from openautoglm import AutoGLM
        >>> with OpenAIServer() as server, AutoGLM(server.url) as engine:
        ...     print(engine.run("hello"))
        hello
    """

    def __init__(self, backend: Backend | None = None, *, faults: Iterable[Fault] = ()) -> None:
        self.requests: list[Mapping[str, object]] = []
        self._backend = backend or EchoBackend()
        self._faults = list(faults)
        self._closing = threading.Event()
        self._http = _Http(self)
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,))

    @property
    def url(self) -> str:
        """Where it listens, for `base_url`."""
        return f"http://127.0.0.1:{self._http.server_address[1]}/v1"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._closing.set()
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()

    def next_fault(self, body: Mapping[str, object]) -> Fault:
        """Note a completion that was asked for and return what is to go wrong with it."""
        self.requests.append(body)
        return self._faults.pop(0) if self._faults else "none"

    def wait_until_closing(self) -> None:
        """Block until the server is about to close."""
        self._closing.wait()

    def events(self, body: Mapping[str, object]) -> Iterator[Mapping[str, object]]:
        """Yield the events of one completion."""
        given = {OURS.get(k, k): v for k, v in body.items() if k in OURS or k in PASSED}
        form = cast("Mapping[str, Mapping[str, object]]", body.get("response_format", {}))
        request = Request(
            prompt=read_prompt(body["messages"]),
            params=SamplingParams().override(given),
            schema=cast("Mapping[str, object] | None", form.get("json_schema", {}).get("schema")),
        )
        for piece in self._backend.stream(request):
            if not isinstance(piece, Generation):
                yield _event({"content": piece}, None)
                continue
            yield _event({}, piece.finish_reason)
            usage = {
                "prompt_tokens": piece.prompt_tokens,
                "completion_tokens": piece.completion_tokens,
                "total_tokens": piece.prompt_tokens + piece.completion_tokens,
            }
            yield {**_event({}, None), "choices": [], "usage": usage}


def _event(delta: Mapping[str, str], reason: str | None) -> Mapping[str, object]:
    choice = {"index": 0, "delta": dict(delta), "finish_reason": reason}
    return {"id": "1", "object": "chat.completion.chunk", "created": 0, "choices": [choice]}


@final
class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def _play(self) -> OpenAIServer:
        return cast("_Http", self.server).play

    def log_message(self, *_: object) -> None:
        """Say nothing on stderr."""

    def do_GET(self) -> None:
        self._send(200, {"object": "list", "data": [{"id": "echo", "object": "model"}]})

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        body = json.loads(self.rfile.read(length))
        fault = self._play.next_fault(body)
        if fault in STATUSES:
            message = f"{fault}: {self.headers['Authorization']}"
            self._send(STATUSES[fault], {"error": {"message": message}})
        elif fault == "hang":
            self._play.wait_until_closing()
            self.close_connection = True
        elif fault == "html":
            self._send(200, "<html>welcome</html>")
        else:
            self._complete(body, fault)

    def _complete(self, body: Mapping[str, object], fault: Fault) -> None:
        try:
            events = list(self._play.events(body))
        except OpenAutoGLMError as error:
            self._send(400, {"error": {"message": str(error)}})
            return
        try:
            self._stream(events, fault)
        except ConnectionError:  # the client has heard enough
            self.close_connection = True

    def _stream(self, events: list[Mapping[str, object]], fault: Fault) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        is_short = fault in {"cut", "no_end"}
        for event in events[:PIECES_BEFORE_CUT] if is_short else events:
            self._chunk(f"data: {json.dumps(event)}\n\n")
        if fault == "bad_json":
            self._chunk("data: {not json\n\n")
        if fault == "bad_shape":
            self._chunk('data: {"choices": "many"}\n\n')
        if fault == "cut":
            self.close_connection = True
            return
        self._chunk("data: [DONE]\n\n")
        self._chunk("")

    def _chunk(self, text: str) -> None:
        data = text.encode()
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

    def _send(self, status: int, value: object) -> None:
        data = value.encode() if isinstance(value, str) else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Retry-After-Ms", "1")
        self.end_headers()
        self.wfile.write(data)


@final
class _Http(ThreadingHTTPServer):
    """The server of the standard library, with ours at hand."""

    def __init__(self, play: OpenAIServer) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.play = play

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing about a client that went away; that is what some tests are about."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type] # a socket pair
