"""From what a caller wrote to a backend with a GGUF file loaded.

Owns `load_backend`: options, memory, and which of the native engine's means a model allows. Knows
nothing of how a model decodes.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from openautoglm.engine.backend import ModelInfo
from openautoglm.engine.backends.gguf.header import read_gguf
from openautoglm.engine.backends.gguf.model import CACHES, LlamaModel
from openautoglm.engine.backends.gguf.trial import check_in_another_process
from openautoglm.engine.backends.gguf.vocabulary import GgufTokenizer
from openautoglm.engine.backends.native.backend import NativeBackend
from openautoglm.engine.backends.native.scheduling.prefix import MINIMUM
from openautoglm.engine.backends.native.scheduling.sampler import OperatorSampler
from openautoglm.engine.backends.native.scheduling.scheduler import Rules
from openautoglm.engine.backends.native.text.tokens import Tokens
from openautoglm.engine.memory import check_fits, free_bytes
from openautoglm.engine.prompt_reader import PromptReader
from openautoglm.engine.sampling import sampling_names
from openautoglm.engine.shortening import read_part
from openautoglm.errors import (
    BackendUnavailableError,
    InvalidParameterError,
    ModelFolderError,
    ModelNotFoundError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from openautoglm.engine.backend import LoadSpec
    from openautoglm.engine.backends.gguf.header import GgufHeader
    from openautoglm.engine.backends.gguf.model import Cache

SLOTS: Final = 16
KEPT: Final = 2  # more slots, which keep beginnings that prompts share
CATCH_UP: Final = 128  # rows of prompts in a step while streams decode
CELLS: Final = 16_384
"""Positions of all sequences together, where a model's context is not longer: llama.cpp takes the
memory of its cache at once."""
PART_FOR_CACHE: Final = 0.5  # of the memory that is free once the weights are there
ALL_LAYERS: Final = -1
TEMPLATE: Final = "tokenizer.chat_template"
PREFIX: Final = "tokenizer.ggml.add_space_prefix"


def load_backend(spec: LoadSpec) -> NativeBackend:
    """Load a GGUF file; errors as `AutoGLM`.

    Options: `slots` (sequences at once), `context` (tokens of each), `threads`, `speculate` (guess
    where an answer copies), `truncate` (shorten prompts that are too long instead of refusing).
    """
    header = read_gguf(_path(spec))
    options = _Options(spec.options)
    gpu_layers = _gpu_layers(spec)
    check_fits(
        header.file_bytes, free_bytes(), what="the model", fix="use a file with smaller weights"
    )
    check_in_another_process(header.path)
    model = LlamaModel(header.path, gpu_layers=gpu_layers)
    try:
        tokenizer = _tokenizer(header, model)
        slots = options.count("slots", SLOTS)
        rules = _open(model, header, options)
        info = _info(header, model, label=spec.model or "", slots=slots, is_on_gpu=gpu_layers != 0)
        reader = PromptReader(tokenizer)
        tokens = Tokens.of(reader, eos=tokenizer.eos, highest=tokenizer.highest)
        gives_up = read_part(spec.options)
        return NativeBackend(model, OperatorSampler(), tokens, info, rules=rules, gives_up=gives_up)
    except BaseException:
        model.close()
        raise


class _Options:
    """The options of a caller, checked as they are read."""

    def __init__(self, given: Mapping[str, object]) -> None:
        self._given = given

    def count(self, name: str, default: int) -> int:
        """Return a whole number, at least 1; the default where none is given."""
        value = self._given.get(name, default)
        if value is default:
            return default
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise InvalidParameterError(
                f"`{name}` must be a whole number, at least 1", got=repr(value), fix=f"{name}=1"
            )
        return value

    def cache(self) -> Cache:
        """Return how keys and values are kept."""
        value = self._given.get("cache", "f16")
        if value not in CACHES:
            raise InvalidParameterError(
                "no cache of llama.cpp is of this kind",
                got=f"cache={value!r}",
                fix=f"use one of: {', '.join(CACHES)}",
            )
        return cast("Cache", value)

    def flag(self, name: str, *, default: bool) -> bool:
        """Return True or False."""
        value = self._given.get(name, default)
        if not isinstance(value, bool):
            raise InvalidParameterError(
                f"`{name}` must be True or False", got=repr(value), fix=f"{name}=True, say"
            )
        return value


def _path(spec: LoadSpec) -> Path:
    if spec.model is None:
        raise ModelNotFoundError(
            "no model was named", fix="pass model_path, the GGUF file, or set OPENAUTOGLM_MODEL"
        )
    try:
        return Path(spec.model).expanduser()
    except RuntimeError as cause:
        raise ModelNotFoundError(
            "the path of the model cannot be read", got=str(cause), fix="write the path out"
        ) from cause


def _gpu_layers(spec: LoadSpec) -> int:
    from openautoglm.engine.backends.gguf.library import llama

    if spec.dtype != "auto":
        raise InvalidParameterError(
            "a GGUF file says itself how its weights are kept",
            got=f"dtype={spec.dtype!r}",
            fix="leave dtype out, or use a file with other weights",
        )
    if spec.device == "cpu":
        return 0
    has_gpu = bool(llama().llama_supports_gpu_offload())
    if spec.device != "auto" and not has_gpu:
        raise BackendUnavailableError(
            "llama-cpp-python was built for the CPU alone",
            got=f"device={spec.device!r}",
            fix="leave device out, or build it with CMAKE_ARGS=-DGGML_CUDA=ON",
        )
    return ALL_LAYERS if has_gpu else 0


def _tokenizer(header: GgufHeader, model: LlamaModel) -> GgufTokenizer:
    template = header.values.get(TEMPLATE)
    tokenizer = GgufTokenizer(
        model,
        template if isinstance(template, str) and template else None,
        has_prefix=header.values.get(PREFIX) is not False,
    )
    listed = header.values.get("tokenizer.ggml.tokens")
    if isinstance(listed, range) and len(listed) != model.vocabulary:
        raise ModelFolderError(
            "the tokenizer of the GGUF file does not belong to its model",
            got=f"{len(listed)} tokens, {model.vocabulary} logits",
            fix="convert the model again with its own tokenizer",
        )
    return tokenizer


def _open(model: LlamaModel, header: GgufHeader, options: _Options) -> Rules:
    """Make the cache, as large as memory allows, and return what may be done with it."""
    slots, cache = options.count("slots", SLOTS), options.cache()
    each = max(header.position_numbers * CACHES[cache].bytes // 32, 1)
    room = max(int(free_bytes() * PART_FOR_CACHE) // each, 1)
    longest = model.trained_context
    context = options.count("context", min(room, longest))
    if context > longest:
        raise InvalidParameterError(
            "`context` is longer than the model's own",
            got=f"context={context}, the model has {longest}",
            fix=f"pass context={longest} or less",
        )
    check_fits(
        context * each,
        room * each,
        what=f"a cache for {context} tokens",
        fix="pass a shorter context, such as context=2048",
    )
    cells = max(min(slots * context, CELLS, room), context)
    has_state = not model.can_rewind
    kept = 0 if has_state or 2 * KEPT * context > cells else KEPT
    model.open(
        slots=slots + kept,
        context=context,
        cells=cells,
        threads=options.count("threads", 1),
        cache=cache,
    )
    return Rules(
        kept=kept,
        catch_up=CATCH_UP,
        guesses=options.flag("speculate", default=True) and not has_state,
        most_tokens=cells - kept * context,
        minimum=context + 1 if has_state else MINIMUM,
    )


def _info(
    header: GgufHeader, model: LlamaModel, *, label: str, slots: int, is_on_gpu: bool
) -> ModelInfo:
    return ModelInfo(
        backend="gguf",
        model=label,
        architecture=header.architecture,
        context_length=model.context,
        vocabulary=model.vocabulary,
        parameters=model.parameters,
        weights_bytes=model.weights_bytes,
        device="gpu" if is_on_gpu else "cpu",
        dtype=model.dtype,
        concurrency=slots,
        sampling=sampling_names(),
    )
