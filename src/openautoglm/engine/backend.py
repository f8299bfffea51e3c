"""What every backend is: the whole contract between `AutoGLM` and whatever generates.

Owns `Backend`, what goes in (`Request`, `LoadSpec`), what comes out (`Generation`, `ModelInfo`) and
the registry `BACKENDS`. Knows nothing of any backend.

To write one, see `Backend`; to prove it, run `openautoglm.testing.backend_conformance`.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias, runtime_checkable

from openautoglm.engine.generation import Generation
from openautoglm.engine.prompt import Prompt, last_user_text
from openautoglm.engine.sampling import BASIC, SamplingParams
from openautoglm.errors import InvalidParameterError, InvalidPromptError, OpenAutoGLMError
from openautoglm.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from openautoglm.engine.adapter import Adapter
    from openautoglm.engine.structured import Form, Grammar


Order: TypeAlias = Literal["given", "free"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One thing to generate. Everything in it was checked by `AutoGLM`.

    Attributes:
        prompt: a text, or the messages of a chat.
        params: how to generate.
        schema: the JSON schema the text must follow, or None.
        form: that, or another form the text must have: a regular expression, a choice, a grammar.
        grammar: the form compiled, for a backend that masks tokens.
        source: the text that `x-extractive` values of the schema are copied from.
        adapter: generate with these weights added; an `AdapterTaker` alone gets such a request.
        order: whether it takes its turn as it came, "given", or others of its batch may go before
            it where that is quicker for all, "free". A backend may disregard it.
        cancel: set by the caller, from any thread, to end the generation at the next token.
    """

    prompt: Prompt
    params: SamplingParams = field(default_factory=SamplingParams)
    schema: Mapping[str, object] | None = None
    form: Form | None = None
    grammar: Grammar | None = None
    source: str | None = None
    adapter: Adapter | None = None
    order: Order = "given"
    cancel: threading.Event = field(default_factory=threading.Event)

    @property
    def source_text(self) -> str:
        """The text to extract from: `source`, or else what the user asked last."""
        return last_user_text(self.prompt) if self.source is None else self.source


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInfo:
    """What a backend can say about its model; None is "not known".

    Attributes:
        backend: the backend's name.
        model: the model's name or folder.
        architecture: the class that runs it, e.g. `Qwen2ForCausalLM`.
        context_length: most tokens of prompt and answer together.
        vocabulary: number of tokens the model can emit.
        parameters: number of weights.
        weights_bytes: memory the weights take.
        device: e.g. "cpu", "cuda:0", "remote".
        dtype: e.g. "float32".
        concurrency: how many calls of `stream` are worth running at once.
        sampling: names of the `SamplingParams` it honours; a request with others is refused
            before it comes here. `n` needs no naming: the backend sees each answer alone.
        kernels: which of its modules operators of the registry serve, and why not others, in words.
    """

    backend: str
    model: str
    architecture: str | None = None
    context_length: int | None = None
    vocabulary: int | None = None
    parameters: int | None = None
    weights_bytes: int | None = None
    device: str | None = None
    dtype: str | None = None
    concurrency: int = 1
    sampling: tuple[str, ...] = BASIC
    kernels: tuple[str, ...] = ()


class Backend(Protocol):
    """Load a model and generate. Any object with these five methods is a backend.

    With the two of `Sleeper` it may also sleep by itself, with those of `AdapterTaker` it is asked
    for answers with adapters.

    Construction loads; it raises one of the 3xx errors when it cannot. Methods may be called from
    any thread, `stream` also while another `stream` is half read.
    """

    def describe(self) -> ModelInfo:
        """Say what was loaded; cheap, also after `close`."""
        ...

    def count_tokens(self, text: str) -> int:
        """Return how many tokens `text` takes, without any chat template or special token."""
        ...

    def stream(self, request: Request) -> Iterator[str | Generation]:
        """Yield pieces of text as they come and then, last, the one `Generation`.

        The pieces join to the generation's text. A piece is never taken back: what may still
        become a stop string or half a character is held until it is settled. When
        `request.cancel` is set the generation ends with "cancelled". `parsed` and `offsets` are
        left to the caller.

        Raises:
            OpenAutoGLMError: the prompt does not fit, or the model cannot be reached.
        """
        ...

    def batch(self, requests: Iterable[Request]) -> Iterator[tuple[int, Generation]]:
        """Yield (position of the request, generation) for every request, in any order.

        `requests` is read a window at a time and may never end. One that fails yields a
        generation with "error" and does not disturb the others. A backend with nothing better to
        do returns `one_by_one(self, requests)`.
        """
        ...

    def close(self) -> None:
        """Give back memory, files and connections. Closing twice is fine."""
        ...


@runtime_checkable
class Sleeper(Protocol):
    """What a backend may have besides: a way to be without its memory for a while.

    One that is named in `BACKENDS` needs none of it: it is closed, and loaded again when it is next
    used, with what its attribute `again` adds to its options, where it has one: what the machine
    decided at loading. A backend that can do better, or that is passed as an object, has both
    methods. Neither is called while a `stream` or `batch` of it is under way.
    """

    def sleep(self) -> None:
        """Give back memory of weights and cache; `describe` goes on to work."""
        ...

    def wake(self) -> None:
        """Be as before `sleep`; errors as loading."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadSpec:
    """What to load.

    Attributes:
        model: folder, name or URL as the user wrote it; None where the backend has its own.
        device: "auto", "cpu", "cuda", "cuda:1", …
        dtype: "auto", "float32", "bfloat16", "float16".
        options: the backend's own options, names already checked.
    """

    model: str | None = None
    device: str = "auto"
    dtype: str = "auto"
    options: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendEntry:
    """How a backend is registered.

    Attributes:
        load: builds the backend, model loaded.
        summary: what it is for, one line.
        options: keywords of `AutoGLM` that are its own.
        extra: the extra of this package it needs, or None.
        sampling: names of the `SamplingParams` that its models honour.
        takes_adapters: its models take LoRA adapters.
        why_not: says, without loading, why it cannot load a spec; None where it can. Asked before
            the backend is chosen for a model; one without it is never chosen unasked.
    """

    load: Callable[[LoadSpec], Backend]
    summary: str
    options: tuple[str, ...] = ()
    extra: str | None = None
    sampling: tuple[str, ...] = BASIC
    takes_adapters: bool = False
    why_not: Callable[[LoadSpec], str | None] | None = None


def check_honoured(params: SamplingParams, info: ModelInfo) -> None:
    """Refuse what a request asks for and its backend does not honour.

    Raises:
        InvalidParameterError: names the parameter, and the backends that honour it.
    """
    for name in params.beyond_basic:
        if name == "n" or name in info.sampling:
            continue
        known = [key for key in BACKENDS.names() if name in BACKENDS.get(key).sampling]
        others = ", ".join(f'"{key}"' for key in known if key != info.backend)
        raise InvalidParameterError(
            f"the backend `{info.backend}` does not honour `{name}`",
            got=f"{name}={getattr(params, name)!r}",
            fix=f"leave it out, or use a backend that does: {others}" if others else "leave it out",
        )


def one_by_one(backend: Backend, requests: Iterable[Request]) -> Iterator[tuple[int, Generation]]:
    """Do a batch as one stream after another: `Backend.batch` for a backend without batching."""
    for index, request in enumerate(requests):
        yield index, finish(backend, request)


def finish(backend: Backend, request: Request) -> Generation:
    """Run one stream to its end; a failure becomes a generation with "error" and what came."""
    pieces: list[str] = []
    try:
        for piece in backend.stream(request):
            if isinstance(piece, Generation):
                return piece
            pieces.append(piece)
    except OpenAutoGLMError as error:
        return failed(error, model=backend.describe().model, text="".join(pieces))
    raise AssertionError("a stream ended without its generation")


def room_for(prompt_tokens: int, *, max_length: int, context_length: int | None) -> int:
    """Return how many tokens may be generated: `max_length`, or what the context has left.

    Raises:
        InvalidPromptError: the prompt alone fills the context.
    """
    if context_length is None:
        return max_length
    if prompt_tokens >= context_length:
        raise InvalidPromptError(
            "the prompt is longer than the model's context leaves room for",
            got=f"{prompt_tokens} tokens, the context is {context_length} and one must be left",
            fix="shorten the prompt, split it (step `text.segment`), or use a model with a longer "
            "context",
        )
    return min(max_length, context_length - prompt_tokens)


def failed(error: OpenAutoGLMError, *, model: str, text: str = "") -> Generation:
    """Return the generation of a request that failed after `text` had come."""
    return Generation(text=text, finish_reason="error", error=error, model=model)


def _add_builtins(registry: Registry[BackendEntry]) -> None:
    # by name: the backends depend on this module, so it cannot import them
    for name, entry in import_module("openautoglm.engine.backends.builtin").BUILTIN.items():
        registry.add(name, entry)


BACKENDS: Registry[BackendEntry] = Registry("backend", builtins=_add_builtins, point="backend")
