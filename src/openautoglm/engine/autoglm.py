"""The front door: a model in, text out.

Owns `AutoGLM`: the calls and in which order their answers come. What a call may say is in
`keywords`, what is made of it in `asking`. Knows nothing of how any backend generates.
"""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, Self, TypeVar, Unpack, cast, final

from openautoglm.engine.adapters import Adapters
from openautoglm.engine.answers import check_one_answer, gathered, of_answer, repeated
from openautoglm.engine.asking import Asking, check_lists, each
from openautoglm.engine.backend import LoadSpec
from openautoglm.engine.completing import complete
from openautoglm.engine.generation import Generation
from openautoglm.engine.loaded import Loaded
from openautoglm.engine.loading import load
from openautoglm.engine.news import ModelNews
from openautoglm.engine.off_loop import OffLoop
from openautoglm.engine.progress import watched, with_bar
from openautoglm.engine.prompt import whole
from openautoglm.engine.row import Completing, Row, check_rows
from openautoglm.engine.rows import Rows, check_on_error, check_order, check_prompts
from openautoglm.engine.sampling import SamplingParams, sampling_names
from openautoglm.engine.stream import GenerationStream
from openautoglm.errors import InvalidParameterError

if TYPE_CHECKING:
    import os
    from types import TracebackType

    from openautoglm.engine.backend import Backend, ModelInfo, Order, Request
    from openautoglm.engine.choosing import Choice
    from openautoglm.engine.keywords import BatchKeywords, Keywords
    from openautoglm.engine.loaded import State
    from openautoglm.engine.progress import Watcher
    from openautoglm.engine.prompt import PromptInput

OnError = Literal["raise", "keep"]
T = TypeVar("T")


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
        adapters: LoRA adapters to load as `load_adapter` does: names, and their folders.
        progress: True shows a bar on stderr while loading; a function is told the share that is
            done, from 0 to 1.
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
        adapters: Mapping[str, str | os.PathLike[str]] | None = None,
        progress: bool | Watcher = False,
        **options: object,
    ) -> None:
        more = sampling_names()
        sampling: dict[str, object] = {n: options.pop(n) for n in more if n in options}
        base = SamplingParams(max_length=max_length, temperature=temperature, seed=seed)
        params = base.override(sampling)
        spec = LoadSpec(device=device, dtype=dtype, options=options)
        news = ModelNews(model_path, backend)
        try:
            with watched(progress):
                self._choice, loaded, again = load(model_path, backend, spec)
            self._loaded = Loaded(loaded, again, news)
            self._adapters = Adapters(self._loaded, adapters)
        except BaseException as error:
            news.failed(error)
            raise
        self._info = self._loaded.describe()
        self._asking = Asking(params, self._info, self._adapters)
        self._off_loop = OffLoop(self._info.concurrency)
        news.ready(self._info)

    @property
    def model_info(self) -> ModelInfo:
        """What was loaded; also after `close`."""
        return self._info

    @property
    def choice(self) -> Choice:
        """Which backend was chosen, and why not the others."""
        return self._choice

    @property
    def state(self) -> State:
        """Where the model is in its life: "ready", "asleep" or "closed"."""
        return self._loaded.state

    @property
    def adapters(self) -> Mapping[str, str]:
        """Folders of the adapters that are loaded, by the names that `adapter=` takes."""
        return self._adapters.folders

    def load_adapter(self, name: str, path: str | os.PathLike[str]) -> None:
        """Load a LoRA adapter beside the model, also while it generates.

        Args:
            name: what calls and rows name it by: `adapter="…"`.
            path: a folder that peft saved: `adapter_config.json` with its weights.

        Raises:
            AdapterError: it is not whole, of a kind that is not computed, or for another base.
            WeightsCorruptError: its weights are damaged or not finite.
            InvalidParameterError: the name is taken, or the backend takes no adapters.
            ModelTooLargeError: not enough memory.
        """
        self._loaded.check()
        self._adapters.load(name, path)

    def unload_adapter(self, name: str) -> None:
        """Forget an adapter; what generates with it goes on to its end.

        Raises:
            InvalidParameterError: there is none of this name.
        """
        self._adapters.unload(name)

    def count_tokens(self, text: str) -> int:
        """Return how many tokens of this model `text` takes, without a chat template."""
        _check_kind("text", text, str, fix="pass a str")
        return self._loaded.count_tokens(whole(text, "the text"))

    def run(self, prompt: PromptInput, **keywords: Unpack[Keywords]) -> Generation:
        """Generate the answer to one prompt.

        Args:
            prompt: a text, or chat messages `[{"role": "user", "content": "…"}]`.
            **keywords: `schema`, `source`, and sampling parameters for this call alone; see
                `Keywords`.

        Raises:
            InvalidPromptError: empty, malformed, or longer than the context.
            InvalidParameterError: a parameter that cannot be.
            SchemaError: the schema cannot be followed.
            OutputParseError: a server answered what does not match the schema.
            BackendRequestError: a server failed.
        """
        backend, (params, rest) = self._open(), self._asking.read(keywords)
        if params.n > 1:
            return next(self._batch([prompt], params, rest))
        request = self._asking.request(prompt, params, rest)
        for piece in backend.stream(request):
            if isinstance(piece, Generation):
                return complete(request, piece)
        raise AssertionError("a stream ended without its generation")

    def stream(self, prompt: PromptInput, **keywords: Unpack[Keywords]) -> GenerationStream:
        """Generate one answer and give it out piece by piece; arguments and errors as `run`.

        Errors of the prompt and the parameters are raised here, the others while iterating.
        """
        backend, (params, rest) = self._open(), self._asking.read(keywords)
        check_one_answer(params)
        request = self._asking.request(prompt, params, rest)
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
        params = self._asking.params if params is None else params
        _check_kind("params", params, SamplingParams, fix="pass SamplingParams(max_length=…)")
        return list(self._batch(prompts, params, {}))

    def batch(
        self,
        prompts: Iterable[PromptInput],
        *,
        on_error: OnError = "raise",
        order: Order = "given",
        progress: bool = False,
        **keywords: Unpack[BatchKeywords],
    ) -> Iterator[Generation]:
        """Generate the answers to many prompts, in order, reading the prompts as needed.

        Args:
            prompts: texts or chats; may be a generator, and may never end.
            on_error: "raise" raises at the first row that fails, after giving out those before
                it; "keep" gives a `Generation` with its `error` in that row's place.
            order: in which rows are computed: "given", so that the first answers come first, or
                "free", which may be quicker for all.
            progress: show a bar on stderr.
            **keywords: as in `run`; see `BatchKeywords` for what may be one for each row.
        """
        answers = self._batch_of(prompts, keywords, on_error, order)
        if not progress:
            return answers
        return with_bar(answers, total=len(prompts) if isinstance(prompts, Sequence) else None)

    def stream_batch(
        self, rows: Iterable[Row | PromptInput], *, order: Order = "free"
    ) -> Iterator[tuple[object, Generation]]:
        """Generate the answers to many rows and give each out with its id as it completes.

        Args:
            rows: a `Row` each, with a schema and parameters of its own, or a prompt; may be a
                generator, and may never end. It is read as the backend has room, so that memory
                stays bounded. A row that fails is a `Generation` with its `error`.
            order: in which rows are computed: "free" puts those that begin alike together, and
                the longest first, among those that were read; "given" takes them as they come.
        """
        return self._rows_of(rows, order, threading.Event())

    async def arun(self, prompt: PromptInput, **keywords: Unpack[Keywords]) -> Generation:
        """`run` on a worker thread; cancelling the task ends the generation at its next token."""
        params, rest = self._asking.read(keywords)
        if params.n > 1:
            cancel = threading.Event()
            answers = self._batch([prompt], params, rest, cancel=cancel)
            return await self._off_loop.run(lambda: next(answers), cancel.set)
        stream = self.stream(prompt, **keywords)
        await self._off_loop.run(lambda: sum(1 for _ in stream), stream.cancel)
        return cast("Generation", stream.generation)

    async def astream(
        self, prompt: PromptInput, **keywords: Unpack[Keywords]
    ) -> AsyncIterator[str]:
        """`stream` on a worker thread, as an asynchronous iterator of the pieces."""
        stream = self.stream(prompt, **keywords)
        async for piece in self._off_loop.each(stream, stream.cancel):
            yield piece

    async def abatch(
        self,
        prompts: Iterable[PromptInput],
        *,
        on_error: OnError = "raise",
        order: Order = "given",
        **keywords: Unpack[BatchKeywords],
    ) -> AsyncIterator[Generation]:
        """`batch` on a worker thread, as an asynchronous iterator."""
        cancel = threading.Event()
        answers = self._batch_of(prompts, keywords, on_error, order, cancel)
        async for answer in self._off_loop.each(answers, cancel.set):
            yield answer

    async def astream_batch(
        self, rows: Iterable[Row | PromptInput], *, order: Order = "free"
    ) -> AsyncIterator[tuple[object, Generation]]:
        """`stream_batch` on a worker thread, as an asynchronous iterator."""
        cancel = threading.Event()
        answers = self._rows_of(rows, order, cancel)
        async for answer in self._off_loop.each(answers, cancel.set):
            yield answer

    def sleep(self) -> None:
        """Give back the memory of weights and cache; the next call wakes the model by itself.

        Sleeping twice is fine. Settings, `model_info` and `choice` stay.

        Raises:
            EngineBusyError: something is being generated, or a stream or a batch is half read.
            InvalidParameterError: the backend is an object that cannot sleep.
            EngineClosedError: after `close`.
        """
        self._loaded.sleep()

    def wake(self) -> None:
        """Load the model again after `sleep`, before a call has to wait for it.

        Raises:
            OpenAutoGLMError: as at construction, when the memory is taken by now, for example; the
                engine sleeps on.
        """
        self._loaded.wake()

    def close(self) -> None:
        """End what is running and give the memory back. Closing twice is fine."""
        self._asking.cancel_all()
        self._loaded.close()
        self._off_loop.close()

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
        state = "" if self.state == "ready" else f", {self.state}"
        return f"AutoGLM({self._info.model!r}, backend={self._info.backend!r}{state})"

    def _open(self) -> Loaded:
        self._loaded.check()
        return self._loaded

    def _batch_of(
        self,
        prompts: Iterable[object],
        keywords: Mapping[str, object],
        on_error: OnError,
        order: Order,
        cancel: threading.Event | None = None,
    ) -> Iterator[Generation]:
        check_on_error(on_error)
        check_order(order)
        params, rest = self._asking.read(keywords)
        keep = on_error == "keep"
        return self._batch(prompts, params, rest, keep_errors=keep, cancel=cancel, order=order)

    def _batch(
        self,
        prompts: Iterable[object],
        params: SamplingParams,
        rest: Mapping[str, object],
        *,
        keep_errors: bool = False,
        cancel: threading.Event | None = None,
        order: Order = "given",
    ) -> Iterator[Generation]:
        backend = self._open()
        check_prompts(prompts)
        check_lists(rest, prompts)
        cancel = cancel or threading.Event()

        def build(answer: int, prompt: object) -> Request:
            row, number = divmod(answer, params.n)
            of_one = of_answer(params, number)
            return self._asking.request(prompt, of_one, each(rest, row), cancel=cancel, order=order)

        rows = Rows(
            build=build,
            complete=complete,
            keep_errors=keep_errors,
            answers=params.n,
            ended=lambda count: check_lists(rest, count),
        )
        read = self._open_rows(repeated(prompts, params.n))
        return gathered(rows.run(backend, read), params.n)

    def _rows_of(
        self, rows: Iterable[object], order: Order, cancel: threading.Event
    ) -> Iterator[tuple[object, Generation]]:
        check_rows(rows)
        check_order(order)

        def build(row: Row) -> Sequence[Request]:
            return self._asking.of_row(row, cancel=cancel, order=order)

        completing = Completing(build=build, complete=complete)
        return completing.run(self._open(), self._open_rows(rows))

    def _open_rows(self, rows: Iterable[T]) -> Iterator[T]:
        """Yield rows as long as the engine is open: closing it ends a batch that never ends."""
        for row in rows:
            self._loaded.check()
            yield row


def _check_kind(name: str, value: object, kind: type, *, fix: str) -> None:
    if not isinstance(value, kind):
        raise InvalidParameterError(
            f"`{name}` must be a {kind.__name__}", got=f"{type(value).__name__}", fix=fix
        )
