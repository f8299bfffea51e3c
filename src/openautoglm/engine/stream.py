"""A generation that is still coming: iterate its pieces, then look at the whole.

Owns `GenerationStream`. Knows nothing of what a schema is; `finish` does that for it.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, final

from openautoglm.engine.generation import Generation, Timings
from openautoglm.errors import OpenAutoGLMError

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator
    from types import TracebackType


@final
class GenerationStream:
    """Iterate the pieces of one answer.

    Stopping early is fine: `close`, leaving a `with`, or Ctrl-C end the generation and keep what
    came so far. One thread at a time may iterate; `cancel` may be called from any.

    Example:
        >>> from openautoglm.testing import EchoBackend
        >>> from openautoglm import AutoGLM
        >>> with AutoGLM(backend=EchoBackend()) as engine, engine.stream("ab") as stream:
        ...     pieces = list(stream)
        >>> pieces, stream.generation.text
        (['a', 'b'], 'ab')
    """

    def __init__(
        self,
        pieces: Iterator[str | Generation],
        *,
        cancel: threading.Event,
        model: str,
        finish: Callable[[Generation], Generation] = lambda generation: generation,
    ) -> None:
        self._pieces = pieces
        self._cancel = cancel
        self._model = model
        self._finish = finish
        self._seen: list[str] = []
        self._started_s = time.monotonic()
        self._first_s: float | None = None
        self._generation: Generation | None = None

    @property
    def generation(self) -> Generation | None:
        """The whole answer once the stream has ended, for whatever reason; None before."""
        return self._generation

    def cancel(self) -> None:
        """End the generation at its next token; the stream then ends by itself."""
        self._cancel.set()

    def close(self) -> None:
        """End the generation now and keep what came so far. Closing twice is fine."""
        self._cancel.set()
        if self._generation is None:
            self._generation = self._partial(None)
        self._end()

    def __iter__(self) -> GenerationStream:
        return self

    def __next__(self) -> str:
        if self._generation is not None:
            raise StopIteration
        try:
            piece = next(self._pieces)
        except StopIteration:
            raise AssertionError("a stream ended without its generation") from None
        except BaseException as error:  # Ctrl-C included: what came so far is kept
            self._cancel.set()
            self._generation = self._partial(error)
            raise
        if isinstance(piece, Generation):
            self._generation = piece  # kept also when the check of it fails
            self._end()
            self._generation = self._finish(piece)
            raise StopIteration
        if self._first_s is None:
            self._first_s = time.monotonic() - self._started_s
        self._seen.append(piece)
        return piece

    def __enter__(self) -> GenerationStream:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _end(self) -> None:
        """Let the pieces go, so that the backend sees that nobody wants more."""
        close = getattr(self._pieces, "close", None)
        if close is not None:
            close()

    def _partial(self, error: BaseException | None) -> Generation:
        total_s = time.monotonic() - self._started_s
        return Generation(
            text="".join(self._seen),
            finish_reason="error" if isinstance(error, Exception) else "cancelled",
            completion_tokens=len(self._seen),
            timings=Timings(first_token_s=self._first_s, total_s=total_s),
            model=self._model,
            error=error if isinstance(error, OpenAutoGLMError) else None,
        )
