"""llama.cpp as a decoder with slots: many sequences in one context, each token's row named.

Owns `LlamaModel`, a `DecodingModel` of the native engine. A slot is one of llama.cpp's sequences;
all of them share one cache of cells, so a shared beginning is copied by naming its cells again.
Knows nothing of text, sampling or of who asks.
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, final

import numpy as np

from openautoglm.engine.backends.gguf.library import llama, said
from openautoglm.errors import (
    BackendRequestError,
    EngineClosedError,
    InvalidParameterError,
    ModelTooLargeError,
    UnknownArchitectureError,
    WeightsCorruptError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from openautoglm.engine.backends.native.scheduling.faces import Integers, Logits

ROWS: Final = 512
"""Most rows of a call."""
MOST_SLOTS: Final = 256
"""Sequences that llama.cpp takes in one context."""
NO_ROOM: Final = 1
"""What `llama_decode` returns when the cache has no cells left."""
Cache = Literal["f32", "f16", "q8_0"]


class Kept(NamedTuple):
    """How numbers of the cache are kept.

    Attributes:
        code: ggml's own for it.
        bytes: of 32 of them.
        flash: whether attention may be llama.cpp's "flash" one, which rounds to f16; -1 asks it.
    """

    code: int
    bytes: int
    flash: int = -1


CACHES: Final[Mapping[Cache, Kept]] = {
    "f32": Kept(0, 128, flash=0),
    "f16": Kept(1, 64),
    "q8_0": Kept(8, 34),
}


@final
class LlamaModel:
    """A GGUF file that computes. For one thread, but for what it says of itself.

    Args:
        path: the file.
        gpu_layers: layers to compute on a GPU, where llama.cpp was built for one; -1 for all.
        is_trial: leave the weights as they lie in the file, which is slower to compute with.

    Raises:
        UnknownArchitectureError: llama.cpp does not know the family, or it generates no text.
        WeightsCorruptError: the file is truncated or damaged.
    """

    def __init__(self, path: Path, *, gpu_layers: int = 0, is_trial: bool = False) -> None:
        api = self._api = llama()
        said()
        params = api.llama_model_default_params()
        params.n_gpu_layers = gpu_layers
        params.use_extra_bufts = not is_trial
        self._model: Any = api.llama_model_load_from_file(str(path).encode(), params)
        self._context: Any = None
        if not self._model:
            raise _cannot_load(path)
        self.vocab: Any = api.llama_model_get_vocab(self._model)
        self.vocabulary: int = api.llama_vocab_n_tokens(self.vocab)
        self.parameters: int = api.llama_model_n_params(self._model)
        self.weights_bytes: int = api.llama_model_size(self._model)
        self.dtype: str = api.llama_ftype_name(api.llama_model_ftype(self._model)).decode()
        self.trained_context: int = api.llama_model_n_ctx_train(self._model)
        self.rows = ROWS
        self.slots = self.context = 0
        if not api.llama_model_has_decoder(self._model) or api.llama_model_has_encoder(self._model):
            self.close()
            raise UnknownArchitectureError(
                "the model of the GGUF file is none that goes on with a text",
                got=path.name,
                fix="use a decoder, such as one of the Llama, Qwen or GLM families",
            )

    @property
    def can_rewind(self) -> bool:
        """Whether a sequence can go back to an earlier position: not where state is recurrent."""
        api, model = self._api, self._opened()
        is_recurrent = api.llama_model_is_recurrent(model) or api.llama_model_is_hybrid(model)
        return not is_recurrent

    def open(
        self, *, slots: int, context: int, cells: int, threads: int, cache: Cache = "f16"
    ) -> None:
        """Make room for sequences.

        Args:
            slots: how many at once.
            context: most positions of one.
            cells: positions of all of them together that have memory.
            threads: how many compute.
            cache: how keys and values are kept.

        Raises:
            ModelTooLargeError: there is no memory for the cache.
            InvalidParameterError: more slots than llama.cpp has.
        """
        if slots > MOST_SLOTS:
            raise InvalidParameterError(
                "llama.cpp has not so many sequences in one context",
                got=f"{slots}, it has {MOST_SLOTS}",
                fix=f"use slots={MOST_SLOTS // 2}, say",
            )
        api = self._api
        params = api.llama_context_default_params()
        params.n_ctx = cells
        params.n_batch = params.n_ubatch = min(ROWS, cells)
        params.n_seq_max = slots
        params.n_threads = params.n_threads_batch = threads
        params.type_k = params.type_v = CACHES[cache].code
        params.flash_attn_type = CACHES[cache].flash
        params.kv_unified = True  # one pool of cells: a copied beginning takes none
        params.swa_full = True  # beginnings are gone back to, past any window
        params.no_perf = True
        said()
        self._context = api.llama_init_from_model(self._opened(), params)
        if not self._context:
            raise ModelTooLargeError(
                "llama.cpp could not make its cache of keys and values",
                got=said() or f"{slots} slots, {cells} positions",
                fix="pass fewer slots or a shorter context",
            )
        self.slots, self.context = slots, context
        self.rows = int(params.n_batch)
        self._memory = api.llama_get_memory(self._context)
        self._batch = _Batch(api, self.rows)
        self._filled = np.zeros(slots, np.int64)

    def forward(
        self,
        tokens: Integers,
        slots: Integers,
        positions: Integers,
        last: Integers,
        adapters: Integers | None = None,
    ) -> Logits:
        """Store keys and values of all rows, then return the logits of the rows `last`.

        Args:
            tokens: of each row.
            slots: of each row.
            positions: of each row in its slot, rising by one; all before it must have been read.
            last: which rows get logits.
            adapters: none can be loaded for a GGUF file, so no row has one.

        Returns:
            float32 (rows of `last`, vocabulary), overwritten by the next call.

        Raises:
            MemoryError: the cache has no cells left.
            BackendRequestError: llama.cpp failed.
            EngineClosedError: after `close`.
        """
        if adapters is not None and adapters.any():
            raise AssertionError("a row has an adapter and a GGUF file takes none")
        context = self._open()
        wanted = np.unique(last)
        self._rewind(slots, positions)
        self._batch.fill(tokens, slots, positions, wanted)
        status = self._api.llama_decode(context, self._batch.struct)
        if status != 0:
            for slot in np.unique(slots):  # what it holds of this call is not known
                self._cut(int(slot), int(positions[slots == slot].min()))
            if status == NO_ROOM:
                raise MemoryError("the cache has no cells left")
            raise BackendRequestError(
                "llama.cpp could not compute the next tokens",
                got=f"status {status}; {said()}".rstrip("; "),
                fix="try with fewer slots; if it stays so, report it to llama.cpp",
            )
        np.maximum.at(self._filled, slots, positions + 1)
        if not len(wanted):
            return np.empty((0, self.vocabulary), np.float32)
        first = self._api.llama_get_logits(context)
        logits = np.ctypeslib.as_array(first, shape=(len(wanted), self.vocabulary))
        return logits if np.array_equal(wanted, last) else logits[np.searchsorted(wanted, last)]

    def copy_prefix(self, source_slot: int, target_slot: int, positions: int) -> None:
        """Give the first positions of one slot to another; they take no more memory."""
        self._open()
        self.release(target_slot)
        self._api.llama_memory_seq_cp(self._memory, source_slot, target_slot, 0, positions)
        self._filled[target_slot] = positions

    def release(self, slot: int) -> None:
        """Give the memory of a slot back; what it held is gone."""
        self._open()
        self._cut(slot, 0)

    def close(self) -> None:
        """Give the memory back. Closing twice is fine."""
        if self._context:
            self._api.llama_free(self._context)
            self._batch.free()
        if self._model:
            self._api.llama_model_free(self._model)
        self._context = self._model = self.vocab = None

    def _rewind(self, slots: Integers, positions: Integers) -> None:
        """Take out what is stored again: a slot that is used anew, or guesses that were wrong."""
        _, first = np.unique(slots, return_index=True)
        for slot, position in zip(slots[first].tolist(), positions[first].tolist(), strict=True):
            if position < self._filled[slot]:
                self._cut(slot, position)

    def _cut(self, slot: int, position: int) -> None:
        if not self._api.llama_memory_seq_rm(self._memory, slot, position, -1) and position:
            raise BackendRequestError(
                "llama.cpp cannot take a sequence of this model back to an earlier position",
                got=f"position {position}",
                fix="report it: a model with such a state is not to be asked for that",
            )
        self._filled[slot] = min(int(self._filled[slot]), position)

    def _open(self) -> Any:  # noqa: ANN401 - a pointer of ctypes
        if not self._context:
            raise EngineClosedError("the engine was closed", fix="make a new AutoGLM")
        return self._context

    def _opened(self) -> Any:  # noqa: ANN401 - a pointer of ctypes
        if not self._model:
            raise EngineClosedError("the engine was closed", fix="make a new AutoGLM")
        return self._model


@final
class _Batch:
    """llama.cpp's arrays for the rows of one call, written through NumPy."""

    def __init__(self, api: Any, rows: int) -> None:  # noqa: ANN401 - a module
        self._api = api
        self.struct = api.llama_batch_init(rows, 0, 1)
        made = self.struct
        self._tokens: NDArray[np.int32] = np.ctypeslib.as_array(made.token, (rows,))
        self._positions: NDArray[np.int32] = np.ctypeslib.as_array(made.pos, (rows,))
        self._outputs: NDArray[np.int8] = np.ctypeslib.as_array(made.logits, (rows,))
        np.ctypeslib.as_array(made.n_seq_id, (rows,))[:] = 1
        # each row has a list of its own of one sequence; here they lie side by side instead
        self._lists = (ctypes.c_void_p * rows).from_address(
            ctypes.cast(made.seq_id, ctypes.c_void_p).value or 0
        )
        self._theirs = list(self._lists)
        self._slots = np.zeros(rows, np.int32)
        for row in range(rows):
            self._lists[row] = self._slots.ctypes.data + row * self._slots.itemsize

    def fill(
        self, tokens: Integers, slots: Integers, positions: Integers, wanted: Integers
    ) -> None:
        """Write the rows of a call; those of `wanted` get logits."""
        count = len(tokens)
        self.struct.n_tokens = count
        self._tokens[:count] = tokens
        self._positions[:count] = positions
        self._slots[:count] = slots
        self._outputs[:count] = 0
        self._outputs[wanted] = 1

    def free(self) -> None:
        """Give the arrays back, as they came."""
        for row, pointer in enumerate(self._theirs):
            self._lists[row] = pointer
        self._api.llama_batch_free(self.struct)


def _cannot_load(path: Path) -> UnknownArchitectureError | WeightsCorruptError:
    reason = said()
    if "unknown model architecture" in reason or "unknown pre-tokenizer" in reason:
        return UnknownArchitectureError(
            "llama.cpp cannot run the model of the GGUF file",
            got=reason,
            fix="update llama-cpp-python, or use another model",
        )
    return WeightsCorruptError(
        "llama.cpp cannot load the GGUF file",
        got=f"{path.name}: {reason}" if reason else path.name,
        fix="download or copy it again; if it is whole, update llama-cpp-python",
    )
