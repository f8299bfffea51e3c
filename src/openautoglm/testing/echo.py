"""A backend that says back what it was asked: deterministic, instant, no model.

Owns `EchoBackend` and `echo_backend`. Knows nothing of torch or any network.
"""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, final

from openautoglm.engine.backend import (
    BACKENDS,
    BackendEntry,
    ModelInfo,
    one_by_one,
    room_for,
)
from openautoglm.engine.generation import FinishReason, Generation, Timings
from openautoglm.engine.prompt import as_messages, last_user_text
from openautoglm.engine.structured.texts import shortest
from openautoglm.errors import EngineClosedError
from openautoglm.registry import owned_by
from openautoglm.testing.instances import smallest_instance

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from openautoglm.engine.backend import LoadSpec, Request

OWNER: Final = "openautoglm.testing"


@final
class EchoBackend:
    """Answer with the last thing the user said.

    The rules, in full:
      * one character is one token, in counting, in `max_length` and in streaming;
      * the answer is the next of `answers`, in rotation, while there are any; else, with a
        schema, the smallest JSON that follows it; with another form, a short text of it; else
        the last user text;
      * it ends at a stop string, at `max_length`, at the end of the context, or when cancelled;
      * temperature and seed change nothing.

    Args:
        answers: scripted answers, given in rotation.
        context_length: characters of prompt and answer together.

    Example:
        >>> from openautoglm import AutoGLM
        >>> engine = AutoGLM(backend=EchoBackend(answers=["yes", "no"]))
        >>> [str(g) for g in engine.batch(["a", "b", "c"])]
        ['yes', 'no', 'yes']
    """

    def __init__(self, answers: Sequence[str] = (), *, context_length: int = 1_000_000) -> None:
        self._answers = tuple(answers)
        self._context_length = context_length
        self._asked = 0
        self._closed = False

    def describe(self) -> ModelInfo:
        """Say that this is the echo."""
        return ModelInfo(
            backend="echo", model="echo", context_length=self._context_length, device="none"
        )

    def count_tokens(self, text: str) -> int:
        """Count characters."""
        return len(text)

    def stream(self, request: Request) -> Iterator[str | Generation]:
        """Yield the answer character by character, then the generation."""
        started_s = time.monotonic()
        if self._closed:
            raise EngineClosedError("the backend is closed", fix="make a new one")
        prompt_tokens = sum(len(m.content) for m in as_messages(request.prompt))
        room = room_for(
            prompt_tokens,
            max_length=request.params.max_length,
            context_length=self._context_length,
        )
        whole, reason = _cut(self._answer(request), request.params.stop, room)
        said = 0
        for character in whole:
            if request.cancel.is_set():
                reason = "cancelled"
                break
            said += 1
            yield character
        yield Generation(
            text=whole[:said],
            finish_reason=reason,
            prompt_tokens=prompt_tokens,
            completion_tokens=said,
            timings=Timings(first_token_s=0.0, total_s=time.monotonic() - started_s),
            model="echo",
        )

    def batch(self, requests: Iterable[Request]) -> Iterator[tuple[int, Generation]]:
        """Answer one after another."""
        return one_by_one(self, requests)

    def close(self) -> None:
        """Refuse to answer from now on."""
        self._closed = True

    def _answer(self, request: Request) -> str:
        if self._answers:
            self._asked += 1
            return self._answers[(self._asked - 1) % len(self._answers)]
        if request.schema is not None:
            value = smallest_instance(request.schema, request.source_text)
            return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        if request.grammar is not None:
            return shortest(request.grammar.text)
        return last_user_text(request.prompt)


def _cut(text: str, stop: Sequence[str], room: int) -> tuple[str, FinishReason]:
    ends = [at for at in (text.find(s) for s in stop) if at >= 0]
    end = min(ends, default=len(text))
    return (text[:room], "length") if end > room else (text[:end], "stop")


@contextmanager
def echo_backend(answers: Sequence[str] = ()) -> Iterator[None]:
    """Make `AutoGLM(backend="echo")` work inside the block.

    Example:
        >>> from openautoglm import AutoGLM
        >>> with echo_backend(), AutoGLM(backend="echo") as engine:
        ...     print(engine.run("hello"))
        hello
    """

    def load(_spec: LoadSpec) -> EchoBackend:
        return EchoBackend(answers)

    with owned_by(OWNER):
        BACKENDS.add("echo", BackendEntry(load=load, summary="says back what it was asked"))
    try:
        yield
    finally:
        BACKENDS.revoke(OWNER)
