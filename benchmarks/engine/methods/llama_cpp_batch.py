"""llama.cpp through its C API: many sequences in one `llama_decode`, as its own server does.

A sequence that ends makes room for the next at once. Where it is told a beginning that prompts
share, that is read once and its cells copied, as llama.cpp's example `parallel` does. Its cache is
f16, its default.
"""

from __future__ import annotations

import ctypes
import os
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from work import Work

    from methods import Setting

    Array = np.ndarray[Any, np.dtype[Any]]

llama: Any = import_module("llama_cpp")

SLOTS: Final = 32
CONTEXT: Final = 512
BATCH: Final = 2048
MICRO_BATCH: Final = 512
PREFIX: Final = SLOTS  # the sequence that keeps what prompts share
IS_UNIFIED: Final = os.environ.get("OAG_BENCHMARK_UNIFIED") == "1"


def load(setting: Setting) -> Batches:
    """Load the GGUF file and make a context."""
    llama.llama_log_set(_SILENT, ctypes.c_void_p(0))
    llama.llama_backend_init()
    kind, _, told = setting.kind.partition("-")
    file = setting.folder / f"model.{kind}.gguf"
    model = llama.llama_model_load_from_file(str(file).encode(), llama.llama_model_default_params())
    wanted = llama.llama_context_default_params()
    wanted.n_seq_max = SLOTS + 1
    wanted.n_ctx = wanted.n_seq_max * CONTEXT
    wanted.n_batch, wanted.n_ubatch = BATCH, MICRO_BATCH
    wanted.n_threads = wanted.n_threads_batch = setting.threads
    wanted.kv_unified = IS_UNIFIED
    context = llama.llama_init_from_model(model, wanted)
    return Batches(context, _vocabulary(model), is_told=bool(told))


def _say_nothing(_level: int, _text: bytes, _data: object) -> None:
    pass


_SILENT: Final = llama.llama_log_callback(_say_nothing)  # C keeps it


def _vocabulary(model: object) -> int:
    return int(llama.llama_vocab_n_tokens(llama.llama_model_get_vocab(model)))


@dataclass(slots=True)
class Running:
    """A sequence that has a slot."""

    row: int
    slot: int
    length: int
    position: int
    new: list[int] = field(default_factory=list)


@final
class Batches:
    """A context, and one batch that is filled again and again."""

    def __init__(self, context: object, vocabulary: int, *, is_told: bool) -> None:
        self._context = context
        self._vocabulary = vocabulary
        self._is_told = is_told
        self._batch = llama.llama_batch_init(BATCH, 0, 1)
        self._slots = np.zeros(BATCH, np.int32)
        size = ctypes.sizeof(ctypes.c_int32)
        for i in range(BATCH):
            at = self._slots.ctypes.data + i * size
            self._batch.seq_id[i] = ctypes.cast(at, ctypes.POINTER(ctypes.c_int32))
            self._batch.n_seq_id[i] = 1
        shape = (BATCH,)
        self._tokens: Array = np.ctypeslib.as_array(self._batch.token, shape)
        self._positions: Array = np.ctypeslib.as_array(self._batch.pos, shape)
        self._wanted: Array = np.ctypeslib.as_array(self._batch.logits, shape)

    def run(self, work: Work) -> Sequence[Sequence[int]]:
        """Decode all rows, at most so many at once as the work says."""
        memory = llama.llama_get_memory(self._context)
        llama.llama_memory_clear(memory, True)
        shared = work.shared if self._is_told else 0
        if shared:
            self._read(work.prompts[0][:shared])
        answers: list[list[int]] = [[] for _ in work.prompts]
        waiting = list(range(len(work.prompts)))[::-1]
        free = list(range(work.at_once))[::-1]
        running: list[Running] = []
        while waiting or running:
            count = self._continue(running)
            new: list[Running] = []
            while waiting and free:
                rest = work.prompts[waiting[-1]][shared:]
                if count + len(rest) > BATCH:
                    break
                one = Running(waiting.pop(), free.pop(), 0, len(rest) + shared)
                one.length = work.lengths[one.row]
                if shared:
                    llama.llama_memory_seq_cp(memory, PREFIX, one.slot, 0, shared)
                count = self._append(count, rest, one.slot, shared)
                new.append(one)
            running += new
            for one, token in zip(running, self._decode(count), strict=True):
                one.new.append(token)
            for one in [one for one in running if len(one.new) == one.length]:
                running.remove(one)
                answers[one.row] = one.new
                llama.llama_memory_seq_rm(memory, one.slot, -1, -1)
                free.append(one.slot)
        return answers

    def _read(self, tokens: Sequence[int]) -> None:
        self._decode(self._append(0, tokens, PREFIX, 0))

    def _continue(self, running: Sequence[Running]) -> int:
        """Put the last token of each sequence into the batch."""
        count = len(running)
        if count:
            self._tokens[:count] = [one.new[-1] for one in running]
            self._positions[:count] = [one.position for one in running]
            self._slots[:count] = [one.slot for one in running]
            self._wanted[:count] = 1
        for one in running:
            one.position += 1
        return count

    def _append(self, at: int, tokens: Sequence[int], slot: int, position: int) -> int:
        end = at + len(tokens)
        self._tokens[at:end] = tokens
        self._positions[at:end] = np.arange(position, position + len(tokens))
        self._slots[at:end] = slot
        self._wanted[at:end] = 0
        self._wanted[end - 1] = 1
        return end

    def _decode(self, count: int) -> list[int]:
        """Decode the batch and return the likeliest token of each sequence in it, in order."""
        self._batch.n_tokens = count
        status = llama.llama_decode(self._context, self._batch)
        if status != 0:
            raise RuntimeError(f"llama_decode gives {status}")
        rows = int(np.count_nonzero(self._wanted[:count]))
        logits = np.ctypeslib.as_array(
            llama.llama_get_logits(self._context), (rows, self._vocabulary)
        )
        tokens: list[int] = logits.argmax(1).tolist()
        return tokens
