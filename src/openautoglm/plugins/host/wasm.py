"""L3: a contribution that is a WebAssembly module, called in a machine of its own.

Owns `WasmObject`, which answers the calls of a `RemoteObject`, and the contract of such modules:

- It imports nothing: no files, no clock, no randomness, no WASI.
- It exports `memory`; `oag1_alloc(size: i32) -> i32`, the address of fresh bytes; and for each
  method `name(address: i32, size: i32) -> i64`, which gets a JSON array of the arguments and
  returns `address << 32 | size` of its JSON answer, or -1 for "refused".
- It may export `oag1_error() -> i64`: where the message lies when a method answered -1.

Every call gets a fresh instance, so nothing stays from one call to the next, and equal calls have
equal answers. Fuel bounds the work, an epoch the time, the store the memory and the tables.
Not guarded against: mistakes in wasmtime itself, the time that compiling takes (`module_bytes`
bounds the size), and what the answers say. Knows nothing of extension points.
"""

from __future__ import annotations

import math
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NoReturn, Protocol, Self, final

import msgspec

from openautoglm.errors import PluginTimeoutError, WasmCallError, WasmModuleError
from openautoglm.settings import need

if TYPE_CHECKING:
    from collections.abc import Iterator

    import wasmtime

MIB: Final = 1 << 20
ALLOC: Final = "oag1_alloc"
ERROR: Final = "oag1_error"
TICK_S: Final = 0.01
"""How often the clock looks: a call may go on this much longer than its time."""

_CONTRACT: Final = {"memory": "memory", ALLOC: "i32 -> i32", ERROR: "-> i64"}
_REFUSED: Final = -1
_PAGE: Final = 1 << 16
_WORD: Final = 0xFFFFFFFF


class DeclaredLimits(Protocol):
    """The part of a manifest's `limits` that holds for a module."""

    @property
    def memory_mb(self) -> int:
        """MiB of the module's memory."""

    @property
    def call_timeout_s(self) -> float:
        """Seconds a call may take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WasmLimits:
    """What a module, and each call of it, may use.

    Attributes:
        memory_bytes: of an instance, in pages of 64 KiB.
        fuel: instructions of a call, about one unit each; the same call always needs the same.
        deadline_s: wall time of a call.
        module_bytes: size of the module itself.
        answer_bytes: size of an answer.
        table_elements: references an instance may hold.
    """

    memory_bytes: int = 64 * MIB
    fuel: int = 10_000_000_000
    deadline_s: float = 30.0
    module_bytes: int = 16 * MIB
    answer_bytes: int = 16 * MIB
    table_elements: int = 100_000

    @classmethod
    def declared(cls, limits: DeclaredLimits) -> WasmLimits:
        """Return what a manifest's `limits` mean here."""
        return cls(memory_bytes=limits.memory_mb * MIB, deadline_s=limits.call_timeout_s)


@final
class WasmObject:
    """A compiled module; its calls may come from several threads.

    Args:
        binary: the module's bytes.
        limits: what it and its calls may use.

    Raises:
        WasmModuleError: it is malformed, too large, wants imports, or keeps not to the contract.
        MissingExtraError: wasmtime is not installed.
    """

    def __init__(self, binary: bytes, limits: WasmLimits | None = None) -> None:
        self.limits = limits or WasmLimits()
        self._wasm = need("wasmtime", extra="wasm", why="running WebAssembly")
        self._engine = _engine()
        self._module = self._compiled(binary)
        self.methods = self._checked()
        self._clock = _Clock(self._engine)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the clock; calls after this are errors."""
        self._clock.close()

    def call(
        self, method: str, /, *args: object, timeout_s: float | None = None, **kwargs: object
    ) -> object:
        """Call a method with JSON values and return its JSON answer.

        Raises:
            WasmCallError: it trapped, used up its fuel or memory, refused, or answered no JSON.
            PluginTimeoutError: it took longer than it may.
        """
        if kwargs:
            raise WasmCallError(
                f"method `{method}` takes no arguments by name",
                got=", ".join(kwargs),
                fix="pass them in order: the module gets a JSON array",
            )
        try:
            payload = msgspec.json.encode(args)
        except (TypeError, ValueError, RecursionError) as cause:
            raise WasmCallError(
                f"an argument of `{method}` is no JSON", got=cause, fix="pass plain values"
            ) from cause
        answer = self.call_bytes(method, payload, timeout_s=timeout_s)
        try:
            return msgspec.json.decode(answer)
        except (ValueError, RecursionError) as cause:  # no UTF-8, no JSON, or too deep
            raise WasmCallError(
                f"method `{method}` answered what is no JSON",
                got=repr(answer[:100]),
                fix=str(cause),
            ) from cause

    def stream(
        self, method: str, /, *args: object, timeout_s: float | None = None, **kwargs: object
    ) -> Iterator[object]:
        """Yield the items of the JSON array that a method answers, all made before the first.

        Raises:
            WasmCallError: as for `call`, or the answer is no array.
        """
        answer = self.call(method, *args, timeout_s=timeout_s, **kwargs)
        if not isinstance(answer, list):
            raise WasmCallError(f"method `{method}` answered no array", got=repr(answer)[:100])
        yield from answer

    def call_bytes(self, method: str, payload: bytes, *, timeout_s: float | None = None) -> bytes:
        """Call a method with bytes as they are and return its bytes.

        Raises:
            WasmCallError: it trapped, used up its fuel or memory, or refused.
            PluginTimeoutError: it took longer than it may.
        """
        if method not in self.methods:
            raise WasmCallError(
                f"the module has no method `{method}`",
                got=", ".join(sorted(self.methods)) or "no methods",
                fix="export it as (i32, i32) -> i64",
            )
        seconds = self.limits.deadline_s if timeout_s is None else timeout_s
        store = self._store(seconds)
        try:
            with self._clock.ticking():
                return self._answer(store, method, payload)
        except (self._wasm.Trap, self._wasm.WasmtimeError) as cause:
            self._explain(method, seconds, cause)
        finally:
            store.close()

    def _compiled(self, binary: bytes) -> wasmtime.Module:
        if len(binary) > self.limits.module_bytes:
            raise WasmModuleError(
                "the module is too large",
                got=f"{len(binary)} bytes",
                fix=f"keep it within {self.limits.module_bytes} bytes",
            )
        try:
            compiled: wasmtime.Module = self._wasm.Module(self._engine, binary)
        except self._wasm.WasmtimeError as cause:
            raise WasmModuleError(
                "the module cannot be compiled",
                got=_first_line(cause),
                fix="build it for wasm32 without threads, 64-bit memory or several memories",
            ) from cause
        return compiled

    def _checked(self) -> frozenset[str]:
        wanted = [f"{each.module}.{each.name}" for each in self._module.imports]
        if wanted:
            raise WasmModuleError(
                "the module wants imports",
                got=", ".join(wanted[:10]),
                fix="build it without WASI and without a runtime: it gets none",
            )
        exports = {each.name: _signature(each.type) for each in self._module.exports}
        exports.setdefault(ERROR, _CONTRACT[ERROR])  # may be left out
        for name, signature in _CONTRACT.items():
            if exports.get(name) != signature:
                raise WasmModuleError(
                    f"the module exports no `{name}` of the kind that the host calls",
                    got=exports.get(name, "nothing of that name"),
                    fix=f"export {name}: {signature}",
                )
        self._refuse_large_memory()
        return frozenset(name for name, kind in exports.items() if kind == "i32 i32 -> i64")

    def _refuse_large_memory(self) -> None:
        memory: wasmtime.MemoryType = next(  # type: ignore[assignment] # checked by its name
            each.type for each in self._module.exports if each.name == "memory"
        )
        pages = memory.limits.min
        if pages * _PAGE > self.limits.memory_bytes:
            raise WasmModuleError(
                "the module begins with more memory than it may have",
                got=f"{pages * _PAGE} bytes",
                fix=f"begin with at most {self.limits.memory_bytes} bytes",
            )

    def _store(self, seconds: float) -> wasmtime.Store:
        store: wasmtime.Store = self._wasm.Store(self._engine)
        store.set_limits(
            memory_size=self.limits.memory_bytes,
            table_elements=self.limits.table_elements,
            instances=1,
            tables=8,
            memories=1,
        )
        store.set_fuel(self.limits.fuel)
        store.set_epoch_deadline(max(1, math.ceil(seconds / TICK_S) + 1))
        return store

    def _answer(self, store: wasmtime.Store, method: str, payload: bytes) -> bytes:
        exports = self._wasm.Instance(store, self._module, []).exports(store)
        memory = exports["memory"]
        address = exports[ALLOC](store, len(payload)) & _WORD
        if address + len(payload) > memory.data_len(store):
            raise _out_of_bounds(method, "was given room")
        if payload:
            memory.write(store, bytearray(payload), address)
        packed = exports[method](store, _signed(address), _signed(len(payload)))
        if packed == _REFUSED:
            said = self._read(store, memory, exports[ERROR](store)) if ERROR in exports else b""
            raise WasmCallError(
                f"method `{method}` refused", got=said.decode("utf-8", "replace")[:500] or None
            )
        return self._read(store, memory, packed)

    def _read(self, store: wasmtime.Store, memory: wasmtime.Memory, packed: int) -> bytes:
        address, size = packed >> 32 & _WORD, packed & _WORD
        if address + size > memory.data_len(store):
            raise _out_of_bounds("the module", "answered")
        if size > self.limits.answer_bytes:
            raise WasmCallError(
                "an answer is too large",
                got=f"{size} bytes",
                fix=f"answer within {self.limits.answer_bytes} bytes",
            )
        return bytes(memory.read(store, address, address + size))

    def _explain(self, method: str, seconds: float, cause: Exception) -> NoReturn:
        code = getattr(cause, "trap_code", None)
        if code is self._wasm.TrapCode.INTERRUPT:
            raise PluginTimeoutError(
                f"method `{method}` took longer than it may", got=f"{seconds:g} s"
            ) from cause
        if code is self._wasm.TrapCode.OUT_OF_FUEL:
            raise WasmCallError(
                f"method `{method}` used up its fuel",
                got=f"{self.limits.fuel} units",
                fix="do less in one call, or allow more fuel",
            ) from cause
        what = "trapped" if code is not None else "failed"
        raise WasmCallError(
            f"method `{method}` {what}",
            got=code.name.lower().replace("_", " ") if code is not None else _first_line(cause),
            fix="look at the module: it broke a rule of WebAssembly or of its limits",
        ) from cause


@final
class _Clock:
    """A thread that moves an engine's epoch while calls run."""

    def __init__(self, engine: wasmtime.Engine) -> None:
        self._engine = engine
        self._changed = threading.Condition()
        self._running = 0
        self._is_closed = False
        self._thread: threading.Thread | None = None

    @contextmanager
    def ticking(self) -> Iterator[None]:
        """Tick until the block ends."""
        with self._changed:
            if self._is_closed:
                raise WasmCallError("the module is closed", fix="call it before `close`")
            self._running += 1
            if self._thread is None or not self._thread.is_alive():  # it does not survive a fork
                self._thread = threading.Thread(target=self._tick, name="wasm clock", daemon=True)
                self._thread.start()
            self._changed.notify()
        try:
            yield
        finally:
            with self._changed:
                self._running -= 1

    def close(self) -> None:
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()

    def _tick(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._running or self._is_closed)
                if self._is_closed and not self._running:
                    return
            time.sleep(TICK_S)
            self._engine.increment_epoch()


def _engine() -> wasmtime.Engine:
    import wasmtime

    config = wasmtime.Config()
    config.consume_fuel = True
    config.epoch_interruption = True
    config.parallel_compilation = False  # a process is confined before it has threads
    config.cranelift_nan_canonicalization = True  # equal calls, equal bits
    config.wasm_relaxed_simd = False
    config.wasm_threads = False  # shared memory would escape the store's limits
    config.wasm_memory64 = False
    config.wasm_multi_memory = False
    return wasmtime.Engine(config)


def _signature(kind: object) -> str:
    import wasmtime

    if isinstance(kind, wasmtime.MemoryType):
        return "memory"
    if not isinstance(kind, wasmtime.FuncType):
        return type(kind).__name__
    return " ".join([*map(str, kind.params), "->", *map(str, kind.results)])


def _signed(value: int) -> int:
    return value - (1 << 32) if value >> 31 else value


def _first_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]


def _out_of_bounds(who: str, what: str) -> WasmCallError:
    return WasmCallError(
        f"{who} {what} outside its own memory",
        fix="return address << 32 | size of bytes that lie in `memory`",
    )
