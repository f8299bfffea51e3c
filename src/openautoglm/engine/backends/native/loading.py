"""From what a caller wrote to a native backend with its model loaded.

Owns `load` and `load_lent`: options, mode, memory. Knows nothing of how a model decodes.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, cast, get_args

from openautoglm.engine.backend import ModelInfo
from openautoglm.engine.backends.native.backend import NativeBackend
from openautoglm.engine.backends.native.model.model import Lent, Model, read_architecture
from openautoglm.engine.backends.native.model.room import Room
from openautoglm.engine.backends.native.processes.cores import usable_cores
from openautoglm.engine.backends.native.processes.limits import Limits, read_timeout
from openautoglm.engine.backends.native.scheduling.sampler import OperatorSampler
from openautoglm.engine.backends.native.scheduling.scheduler import Rules
from openautoglm.engine.backends.native.text.tokens import Tokens
from openautoglm.engine.backends.native.weights.convert import Mode
from openautoglm.engine.memory import free_bytes
from openautoglm.engine.sampling import sampling_names
from openautoglm.engine.shortening import read_part
from openautoglm.engine.source import find_folder
from openautoglm.errors import BackendUnavailableError, InvalidParameterError, ModelFolderError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from openautoglm.engine.backend import LoadSpec
    from openautoglm.engine.backends.native.families.architecture import Architecture
    from openautoglm.engine.backends.native.processes.frames import Order
    from openautoglm.engine.backends.native.processes.pool import Pool
    from openautoglm.engine.model_folder import ModelFolder

BY_DTYPE: Final[Mapping[str, Mode]] = {"float32": "fp32", "bfloat16": "bf16"}
BYTES: Final[Mapping[Mode, int]] = {"fp32": 4, "bf16": 2, "int8": 1, "int4": 1}  # bytes a weight
INT4_SAVES: Final = 15 / 32
"""Of an int8 weight's byte, where it is kept in int4."""
VALUE_BYTES: Final[Mapping[Mode, int]] = {"fp32": 4, "bf16": 2, "int8": 2, "int4": 2}  # of keys
DTYPES: Final[Mapping[Mode, str]] = {
    "fp32": "float32",
    "bf16": "bfloat16",
    "int8": "int8",
    "int4": "int4",
}
SLOTS: Final = 32
KEPT: Final = 2  # more slots, which keep beginnings that prompts share
CATCH_UP: Final = 128
"""Rows of prompts in a step while streams decode; without a bound they wait three times as long."""
FREE_FOR_PROCESS: Final = 1 << 29  # bytes: a worker process unasked only where so much is free


def load(spec: LoadSpec, *, name: str = "native") -> NativeBackend:
    """Load a model folder or a name on the hub; errors as `AutoGLM`.

    Options: `mode` ("auto", "fp32", "bf16", "int8", "int4"), `slots` (sequences at once), `context`
    (tokens of each), `threads`, `processes` (how many compute the rows of a batch; "auto" for one a
    core, where a batch is long), `worker_timeout_s` (how long one that has rows may give no sign of
    life), `speculate` (guess where an answer copies), `deterministic` (refuse a mode in which an
    answer may depend on the others), `truncate` (shorten prompts that are too long instead of
    refusing them: True or "middle", "start", "end"), `offline`.
    """
    folder = find_folder(spec)
    options = spec.options
    if spec.device not in {"auto", "cpu"}:
        raise BackendUnavailableError(
            "the native backend computes on the CPU",
            got=f"device={spec.device!r}",
            fix='leave device out, or use backend="transformers"',
        )
    free = free_bytes()
    a = read_architecture(folder.path)
    rooms = {
        mode: Room.of(
            a,
            value_bytes=VALUE_BYTES[mode],
            weights_bytes=_weights_bytes(folder, a, mode),
            free_bytes=free,
        )
        for mode in BYTES
    }
    mode = _mode(spec, rooms)
    slots = _count(options, "slots", SLOTS)
    processes = _processes(spec)
    limits = Limits(most=processes, slots=slots, timeout_s=read_timeout(options, folder))
    tokens = Tokens(folder)
    model = Model(
        folder.path,
        mode,
        slots=slots + KEPT,
        context=rooms[mode].context(_count(options, "context", 0), slots=slots),
        threads=_count(options, "threads", 1),
    )
    try:
        pool = _pool(spec, name, folder, model, limits)
        return _backend(spec, name, folder, model, tokens, pool=pool)
    except BaseException:
        model.close()
        raise


def load_lent(order: Order, weights: int) -> tuple[NativeBackend, dict[str, list[str]]]:
    """Load, in a worker process, what its parent lends; return the kernels that serve it, too."""
    options = order.spec.options
    tokens = Tokens(order.folder)
    model = Model(
        Lent(
            folder=order.folder.path,
            mode=order.mode,
            descriptor=weights,
            outline=order.outline,
        ),
        slots=_count(options, "slots", SLOTS) + KEPT,
        context=_count(options, "context", 0),
    )
    backend = _backend(
        order.spec, order.name, order.folder, model, tokens, processes=order.processes
    )
    return backend, _kernels(model)


def _backend(  # noqa: PLR0913 - what both ways of loading have in common
    spec: LoadSpec,
    name: str,
    folder: ModelFolder,
    model: Model,
    tokens: Tokens,
    *,
    pool: Pool | None = None,
    processes: int = 1,
) -> NativeBackend:
    _check_vocabulary(tokens, model)
    slots = model.slots - KEPT
    rules = Rules(
        kept=KEPT,
        catch_up=CATCH_UP,
        guesses=_flag(spec.options, "speculate", default=True),
        most_tokens=_most_tokens(model, slots, processes),
    )
    info = _info(folder, model, name=name, label=_label(spec, name), slots=slots)
    gives_up = read_part(spec.options)
    backend = NativeBackend(
        model, OperatorSampler(), tokens, info, rules=rules, gives_up=gives_up, pool=pool
    )
    given = {"mode": model.mode} if spec.dtype == "auto" else {}
    backend.again = {**given, "context": model.context}
    return backend


def _weights_bytes(folder: ModelFolder, a: Architecture, mode: Mode) -> int:
    whole = folder.bytes_as(BYTES[mode])
    if mode != "int4":
        return whole
    stays = a.vocabulary * a.hidden * (1 if a.is_tied else 2)  # head and embedding
    return whole - int(max(whole - stays, 0) * INT4_SAVES)


def _processes(spec: LoadSpec) -> int:
    """Return how many processes may compute the rows of a batch."""
    given = spec.options.get("processes", "auto")
    if given != "auto":
        return _count(spec.options, "processes", 1)
    if _count(spec.options, "threads", 1) > 1:
        return 1  # the cores have work already
    return max(1, min(usable_cores(), free_bytes() // FREE_FOR_PROCESS))


def _pool(
    spec: LoadSpec, name: str, folder: ModelFolder, model: Model, limits: Limits
) -> Pool | None:
    if limits.most == 1:
        return None
    from openautoglm.engine.backends.native.processes.frames import Order, packed_order
    from openautoglm.engine.backends.native.processes.pool import Pool
    from openautoglm.engine.backends.native.processes.process import Process

    order = Order(
        spec=replace(spec, options={**spec.options, "context": model.context}),
        name=name,
        folder=replace(folder, config=dict(folder.config), counts=dict(folder.counts)),
        mode=model.mode,
        outline=model.outline,
        processes=limits.most,
    )
    packed = packed_order(order)
    return Pool(
        lambda: Process(packed, model.lend),
        limits=limits,
        model=_label(spec, name),
        kernels=lambda: _kernels(model),
        is_optional=spec.options.get("processes", "auto") == "auto",
    )


def _kernels(model: Model) -> dict[str, list[str]]:
    """Return the kernels that serve a model, by operator."""
    found: dict[str, set[str]] = {}
    for share in model.kernels():
        found.setdefault(share.operator, set()).add(share.kernel)
    return {operator: sorted(kernels) for operator, kernels in found.items()}


def _label(spec: LoadSpec, name: str) -> str:
    return name if spec.model is None or name != "native" else spec.model


def _info(folder: ModelFolder, model: Model, *, name: str, label: str, slots: int) -> ModelInfo:
    return ModelInfo(
        backend=name,
        model=label,
        architecture=folder.architecture,
        context_length=model.context,
        vocabulary=model.architecture.vocabulary,
        parameters=folder.parameters,
        weights_bytes=model.weights_bytes,
        device="cpu",
        dtype=DTYPES[model.mode],
        concurrency=slots,
        sampling=sampling_names(),
    )


def _mode(spec: LoadSpec, rooms: Mapping[Mode, Room]) -> Mode:
    """Return how weights are kept: "auto" is exact, as long as memory has room for it."""
    given = spec.options.get("mode", "auto")
    if given not in {"auto", *get_args(Mode)}:
        raise InvalidParameterError(
            f"no mode is called `{given}`",
            got=repr(given),
            fix=f"use auto, {', '.join(get_args(Mode))}",
        )
    if spec.dtype != "auto":
        if given != "auto" or spec.dtype not in BY_DTYPE:
            raise InvalidParameterError(
                "the native backend is told by `mode` how to keep weights",
                got=f"dtype={spec.dtype!r}, mode={given!r}",
                fix='leave dtype out and use mode="fp32", "bf16", "int8" or "int4"',
            )
        given = BY_DTYPE[spec.dtype]
    is_exact = _flag(spec.options, "deterministic", default=False)
    if is_exact and given == "bf16":
        raise InvalidParameterError(
            "in bf16 an answer may depend on what else is computed beside it",
            got='deterministic=True, mode="bf16"',
            fix='use mode="fp32", "int8" or "int4"',
        )
    if given != "auto":
        return cast("Mode", given)
    modes: tuple[Mode, ...] = ("fp32", "int8") if is_exact else ("fp32", "bf16", "int8")
    # what does not fit at all is refused with the numbers
    return next((m for m in modes if rooms[m].is_enough), "int8")


def _most_tokens(model: Model, slots: int, processes: int) -> int:
    """Return how many tokens may be in the cache, which takes memory as it fills."""
    size = VALUE_BYTES[model.mode]
    beside = Room.of(model.architecture, value_bytes=size, weights_bytes=0, free_bytes=free_bytes())
    room = beside.tokens // processes
    return max(min(room, slots * model.context), model.context)


def _check_vocabulary(tokens: Tokens, model: Model) -> None:
    width = model.architecture.vocabulary
    if tokens.highest >= width:
        raise ModelFolderError(
            "the tokenizer has tokens the model has no embedding for",
            got=f"token {tokens.highest}, {width} embeddings",
            fix="use the tokenizer that belongs to the model",
        )


def _count(options: Mapping[str, object], name: str, default: int) -> int:
    value = options.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or value < min(default, 1):
        raise InvalidParameterError(
            f"`{name}` must be a whole number, at least 1", got=repr(value), fix=f"{name}=1, say"
        )
    return value


def _flag(options: Mapping[str, object], name: str, *, default: bool) -> bool:
    value = options.get(name, default)
    if not isinstance(value, bool):
        raise InvalidParameterError(
            f"`{name}` must be True or False", got=repr(value), fix=f"{name}=True, say"
        )
    return value
