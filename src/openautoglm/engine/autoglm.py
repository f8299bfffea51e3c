"""The front door: a model in, text out.

Owns `AutoGLM`: checking what the caller passes, choosing the backend, schemas before and after.
Knows nothing of how any backend generates.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, Self, TypeVar, Unpack, cast, final

from openautoglm.engine.answers import check_one_answer, gathered, of_answer, repeated
from openautoglm.engine.backend import LoadSpec, Request, check_honoured
from openautoglm.engine.completing import complete
from openautoglm.engine.generation import Generation
from openautoglm.engine.loading import load
from openautoglm.engine.news import ModelNews
from openautoglm.engine.prompt import PromptInput, read_prompt
from openautoglm.engine.row import Completing, Row, check_rows
from openautoglm.engine.rows import Rows, check_on_error, check_prompts, of_row
from openautoglm.engine.sampling import Overrides, SamplingParams, check_names, sampling_names
from openautoglm.engine.stream import GenerationStream
from openautoglm.errors import EngineClosedError, InvalidParameterError

if TYPE_CHECKING:
    import os
    from collections.abc import Callable
    from types import TracebackType

    from openautoglm.engine.backend import Backend, ModelInfo
    from openautoglm.engine.choosing import Choice

T = TypeVar("T")
Schema = Mapping[str, object]


@final
class AutoGLM:
    """Run prompts on a model.

    Loads at construction. May be used from several threads. Close it, or use it in a `with`, to
    give its memory back.

    Args:
        model_path: a model folder, a name on the model hub, or the URL of a server; None is
            `OPENAUTOGLM_MODEL` or else the small model that comes with the package.
        backend: "auto", the name of an entry of `BACKENDS`, or a `Backend` of your own.
        device: "auto", "cpu", "cuda", "cuda:1", …
        dtype: "auto", "float32", "bfloat16" or "float16".
        max_length: most tokens to generate; the prompt does not count.
        temperature: 0 is greedy.
        seed: makes sampling repeatable.
        **options: other fields of `SamplingParams`, and what the backend takes, such as `base_url`.

    Raises:
        OpenAutoGLMError: one of the 3xx errors, each with its fix.

    Example:
        >>> from openautoglm.testing import EchoBackend
        >>> with AutoGLM(backend=EchoBackend()) as engine:
        ...     print(engine.run("hello"))
        hello
    """

    def __init__(  # noqa: PLR0913 - the product's front door: the names users know, all optional
        self,
        model_path: str | os.PathLike[str] | None = None,
        *,
        backend: str | Backend = "auto",
        device: str = "auto",
        dtype: str = "auto",
        max_length: int = 512,
        temperature: float = 0.0,
        seed: int | None = None,
        **options: object,
    ) -> None:
        more = sampling_names()
        sampling: dict[str, object] = {n: options.pop(n) for n in more if n in options}
        base = SamplingParams(max_length=max_length, temperature=temperature, seed=seed)
        self._params = base.override(sampling)
        self._lock = threading.Lock()
        self._executor: ThreadPoolExecutor | None = None
        self._running: weakref.WeakSet[threading.Event] = weakref.WeakSet()
        self._backend: Backend | None = None
        spec = LoadSpec(device=device, dtype=dtype, options=options)
        self._news = ModelNews(model_path, backend)
        try:
            self._choice, self._backend = load(model_path, backend, spec)
            self._info = self._backend.describe()
        except BaseException as error:
            self._news.failed(error)
            raise
        self._news.ready(self._info)

    @property
    def model_info(self) -> ModelInfo:
        """What was loaded; also after `close`."""
        return self._info

    @property
    def choice(self) -> Choice:
        """Which backend was chosen, and why not the others."""
        return self._choice

    def count_tokens(self, text: str) -> int:
        """Return how many tokens of this model `text` takes, without a chat template."""
        _check_kind("text", text, str, fix="pass a str")
        return self._open().count_tokens(text)

    def run(
        self,
        prompt: PromptInput,
        *,
        schema: Schema | None = None,
        source: str | None = None,
        **overrides: Unpack[Overrides],
    ) -> Generation:
        """Generate the answer to one prompt.

        Args:
            prompt: a text, or chat messages `[{"role": "user", "content": "…"}]`.
            schema: a JSON schema the answer must follow; its value is `parsed`.
            source: the text that `x-extractive` values are copied from; the prompt by default.
            **overrides: sampling parameters for this call alone.

        Raises:
            InvalidPromptError: empty, malformed, or longer than the context.
            InvalidParameterError: a parameter that cannot be.
            SchemaError: the schema cannot be followed.
            OutputParseError: a server answered what does not match the schema.
            BackendRequestError: a server failed.
        """
        backend, params = self._open(), self._with(overrides)
        if params.n > 1:
            return next(self._batch([prompt], params, schema=schema, source=source))
        request = self._request(prompt, params, schema=schema, source=source)
        for piece in backend.stream(request):
            if isinstance(piece, Generation):
                return complete(request, piece)
        raise AssertionError("a stream ended without its generation")

    def stream(
        self,
        prompt: PromptInput,
        *,
        schema: Schema | None = None,
        source: str | None = None,
        **overrides: Unpack[Overrides],
    ) -> GenerationStream:
        """Generate one answer and give it out piece by piece; arguments and errors as `run`.

        Errors of the prompt and the parameters are raised here, the others while iterating.
        """
        backend, params = self._open(), self._with(overrides)
        check_one_answer(params)
        request = self._request(prompt, params, schema=schema, source=source)
        return GenerationStream(
            backend.stream(request),
            cancel=request.cancel,
            model=self._info.model,
            finish=lambda generation: complete(request, generation),
        )

    def generate(
        self, prompts: Iterable[PromptInput], params: SamplingParams | None = None
    ) -> list[Generation]:
        """Generate the answers to many prompts and return them in order."""
        params = self._params if params is None else params
        _check_kind("params", params, SamplingParams, fix="pass SamplingParams(max_length=…)")
        return list(self._batch(prompts, params))

    def batch(
        self,
        prompts: Iterable[PromptInput],
        *,
        schema: Schema | Sequence[Schema | None] | None = None,
        source: str | Sequence[str] | None = None,
        on_error: Literal["raise", "keep"] = "raise",
        progress: bool = False,
        **overrides: Unpack[Overrides],
    ) -> Iterator[Generation]:
        """Generate the answers to many prompts, in order, reading the prompts as needed.

        Args:
            prompts: texts or chats; may be a generator, and may never end.
            schema: one schema for all rows, or one for each.
            source: as in `run`; one for all rows, or one for each.
            on_error: "raise" raises at the first row that fails, after giving out those before
                it; "keep" gives a `Generation` with its `error` in that row's place.
            progress: show a bar on stderr.
            **overrides: sampling parameters for this batch alone.
        """
        check_on_error(on_error)
        answers = self._batch(
            prompts,
            self._with(overrides),
            schema=schema,
            source=source,
            keep_errors=on_error == "keep",
        )
        if not progress:
            return answers
        from openautoglm.engine.progress import with_bar

        return with_bar(answers, total=len(prompts) if isinstance(prompts, Sequence) else None)

    def stream_batch(
        self, rows: Iterable[Row | PromptInput]
    ) -> Iterator[tuple[object, Generation]]:
        """Generate the answers to many rows and give each out with its id as it completes.

        Args:
            rows: a `Row` each, with a schema and parameters of its own, or a prompt; may be a
                generator, and may never end. It is read as the backend has room, so that memory
                stays bounded. A row that fails is a `Generation` with its `error`.
        """
        check_rows(rows)
        return Completing(build=self._of_row, complete=complete).run(self._open(), rows)

    async def arun(
        self,
        prompt: PromptInput,
        *,
        schema: Schema | None = None,
        source: str | None = None,
        **overrides: Unpack[Overrides],
    ) -> Generation:
        """`run` on a worker thread; cancelling the task ends the generation at its next token."""
        if self._with(overrides).n > 1:
            return await anext(self.abatch([prompt], schema=schema, source=source, **overrides))
        stream = self.stream(prompt, schema=schema, source=source, **overrides)
        await self._on_worker(lambda: sum(1 for _ in stream), stream.cancel)
        return cast("Generation", stream.generation)

    async def astream(
        self,
        prompt: PromptInput,
        *,
        schema: Schema | None = None,
        source: str | None = None,
        **overrides: Unpack[Overrides],
    ) -> AsyncIterator[str]:
        """`stream` on a worker thread, as an asynchronous iterator of the pieces."""
        stream = self.stream(prompt, schema=schema, source=source, **overrides)
        try:
            while (
                piece := await self._on_worker(lambda: next(stream, None), stream.cancel)
            ) is not None:
                yield piece
        finally:
            stream.cancel()

    async def abatch(
        self,
        prompts: Iterable[PromptInput],
        *,
        schema: Schema | Sequence[Schema | None] | None = None,
        source: str | Sequence[str] | None = None,
        on_error: Literal["raise", "keep"] = "raise",
        **overrides: Unpack[Overrides],
    ) -> AsyncIterator[Generation]:
        """`batch` on a worker thread, as an asynchronous iterator."""
        cancel = threading.Event()
        answers = self._batch(
            prompts,
            self._with(overrides),
            schema=schema,
            source=source,
            keep_errors=on_error == "keep",
            cancel=cancel,
        )
        try:
            while answer := await self._on_worker(lambda: next(answers, None), cancel.set):
                yield answer
        finally:
            cancel.set()

    def close(self) -> None:
        """End what is running and give the memory back. Closing twice is fine."""
        with self._lock:
            backend, self._backend = self._backend, None
            executor, self._executor = self._executor, None
        for cancel in list(self._running):
            cancel.set()
        if executor is not None:
            executor.shutdown(wait=True, cancel_futures=True)
        if backend is not None:
            backend.close()
            self._news.closed()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        closed = "" if self._backend is not None else ", closed"
        return f"AutoGLM({self._info.model!r}, backend={self._info.backend!r}{closed})"

    def _open(self) -> Backend:
        if self._backend is None:
            raise EngineClosedError(
                "the engine is closed",
                got=self._info.model,
                fix="make a new AutoGLM, or use it before its `with` block ends",
            )
        return self._backend

    def _with(self, overrides: Mapping[str, object]) -> SamplingParams:
        check_names(overrides, (*sampling_names(), "schema", "source"))
        return self._params.override(overrides)

    def _request(
        self,
        prompt: object,
        params: SamplingParams,
        *,
        schema: Schema | None = None,
        source: str | None = None,
        cancel: threading.Event | None = None,
    ) -> Request:
        if source is not None:
            _check_kind("source", source, str, fix="pass the text to copy from")
        check_honoured(params, self._info)
        cancel = cancel or threading.Event()
        self._running.add(cancel)
        request = Request(
            prompt=read_prompt(prompt), params=params, schema=schema, source=source, cancel=cancel
        )
        if schema is None:
            return request
        from openautoglm.engine.structured import compile_schema

        return replace(request, grammar=compile_schema(schema, request.source_text))

    def _of_row(self, row: Row) -> Request:
        params = self._with(row.params)
        check_one_answer(params)
        return self._request(row.prompt, params, schema=row.schema, source=row.source)

    def _batch(
        self,
        prompts: Iterable[object],
        params: SamplingParams,
        *,
        schema: Schema | Sequence[Schema | None] | None = None,
        source: str | Sequence[str] | None = None,
        keep_errors: bool = False,
        cancel: threading.Event | None = None,
    ) -> Iterator[Generation]:
        backend = self._open()
        check_prompts(prompts)
        cancel = cancel or threading.Event()

        def build(answer: int, prompt: object) -> Request:
            row, number = divmod(answer, params.n)
            return self._request(
                prompt,
                of_answer(params, number),
                schema=cast("Schema | None", of_row("schema", schema, Mapping, row)),
                source=cast("str | None", of_row("source", source, str, row)),
                cancel=cancel,
            )

        rows = Rows(build=build, complete=complete, keep_errors=keep_errors, answers=params.n)
        return gathered(rows.run(backend, repeated(prompts, params.n)), params.n)

    async def _on_worker(self, work: Callable[[], T], cancel: Callable[[], None]) -> T:
        import asyncio

        self._open()
        with self._lock:
            if self._executor is None:
                self._executor = ThreadPoolExecutor(
                    self._info.concurrency, thread_name_prefix="openautoglm"
                )
            executor = self._executor
        try:
            return await asyncio.get_running_loop().run_in_executor(executor, work)
        except asyncio.CancelledError:
            cancel()
            raise


def _check_kind(name: str, value: object, kind: type, *, fix: str) -> None:
    if not isinstance(value, kind):
        raise InvalidParameterError(
            f"`{name}` must be a {kind.__name__}", got=f"{type(value).__name__}", fix=fix
        )
