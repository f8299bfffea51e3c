"""The torch operators of an operator: their definition, and the way from them back to Python.

Owns the library `oag` in torch's dispatcher. What is defined stays as long as the process: taking
an operator out of torch while a graph holds it crashes torch.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

import torch

from openautoglm.native.cells import init_torch
from openautoglm.ops import arrays, dispatch
from openautoglm.ops.call import infer_outputs
from openautoglm.ops.dtypes import DTYPES
from openautoglm.ops.torch_bridge import failures

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from openautoglm.ops.arguments import ArraySpec
    from openautoglm.ops.table import KernelTable

NAMESPACE: Final = "oag"
_DEVICES: Final = ("CPU", "CUDA")

LIBRARY: Final = torch.library.Library(NAMESPACE, "FRAGMENT")  # lives as long as the process
_pending = threading.local()
_lock = threading.Lock()
_taken: set[str] = set()
_contracts: list[str] = []
_is_ready = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Slots:
    """The two torch operators of an operator."""

    public: Any
    raw: Any


def define(table: KernelTable) -> Slots:
    """Define the torch operators of an operator; their names are never used twice."""
    with _lock:
        name = _free_name(table)
        schema = table.opdef.schema()
        _define_slow(table, name, schema)
        for slot in (name, f"_{name}"):
            _define_slot(table, slot, schema, f"_slow_{name}")
            torch.library.register_fake(f"{NAMESPACE}::{slot}", _fake(table), lib=LIBRARY)
        _tag_caches(table)
    namespace = getattr(torch.ops, NAMESPACE)
    return Slots(
        public=getattr(namespace, name).default, raw=getattr(namespace, f"_{name}").default
    )


def raise_pending(failure: RuntimeError) -> NoReturn:
    """Raise the error that a failure stands for, or the failure as it came.

    The slow call of this thread keeps its error; a compiled graph may have left another one there,
    which is known by its text.
    """
    kept = getattr(_pending, "error", None)
    _pending.error = None
    try:
        if kept is not None and _text_of(kept) in str(failure):
            raise kept from kept.__cause__  # not from the failure, which says the same
        raise failures.read(failure)
    finally:
        del kept, failure  # or frame and error would hold each other, and the inputs


def _free_name(table: KernelTable) -> str:
    """Return the operator's name, with its contract's hash where an earlier one has the name."""
    opdef = table.opdef
    name = opdef.name
    if _is_taken(name):
        name = f"{opdef.name}_{opdef.contract_hash[:12]}"
    count = 2
    while _is_taken(name):
        name = f"{opdef.name}_{opdef.contract_hash[:12]}_{count}"
        count += 1
    _taken.update(_torch_names(name))
    return name


def _is_taken(name: str) -> bool:
    return bool(_taken & _torch_names(name))


def _torch_names(name: str) -> set[str]:
    return {name, f"_{name}", f"_slow_{name}"}


def _define_slot(table: KernelTable, slot: str, schema: str, slow: str) -> None:
    cell = table.cell
    if cell is not None and not _has_lists(table):
        _ready_core()
        qualified = f"{NAMESPACE}::{slow}"
        if cell.bind_torch(namespace=NAMESPACE, name=slot, schema=schema, slow=qualified):
            return
    LIBRARY.define(f"{slot}{schema}")
    for device in _DEVICES:
        LIBRARY.impl(slot, _python_body(table), device)


def _has_lists(table: KernelTable) -> bool:
    return any(part.many for part in table.opdef.inputs)


def _define_slow(table: KernelTable, name: str, schema: str) -> None:
    body = _python_body(table)
    count = len(table.opdef.outputs)

    def slow(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - tensors
        # an exception would lose its type on the way through the core: it is kept for the caller
        _pending.error = None
        _pending.text = ""
        try:
            return body(*args, **kwargs)
        except BaseException as error:  # noqa: BLE001 - Ctrl-C too is raised again beyond the core
            _pending.error = error
            _pending.text = _text_of(error)
            nothing = torch.empty(0)
            return nothing if count == 1 else (nothing,) * count

    LIBRARY.define(f"_slow_{name}{schema}")
    for device in _DEVICES:
        LIBRARY.impl(f"_slow_{name}", slow, device)


def _python_body(table: KernelTable) -> Callable[..., Any]:
    opdef = table.opdef
    inputs = len(opdef.inputs)
    defaults = tuple(attr.default for attr in opdef.attrs)

    def body(*args: Any) -> Any:  # noqa: ANN401 - tensors
        # torch leaves out trailing arguments that have their default
        given = args[inputs:]
        values = (*given, *defaults[len(given) :])
        arrays_in = (*args[:inputs], *(None,) * (inputs - len(args)))
        with torch.no_grad():
            return dispatch.call(table, arrays_in, values)

    return body


def _text_of(error: BaseException) -> str:
    return str(error) or type(error).__name__


def _take_problem() -> str:
    """Return what the last slow call of this thread failed with, once; empty for nothing."""
    text: str = getattr(_pending, "text", "")
    _pending.text = ""
    return text


def _fake(table: KernelTable) -> Callable[..., Any]:
    opdef = table.opdef
    inputs = len(opdef.inputs)
    defaults = tuple(attr.default for attr in opdef.attrs)

    def fake(*args: Any) -> Any:  # noqa: ANN401 - fake tensors
        given = args[inputs:]
        values = (*given, *defaults[len(given) :])
        specs = [_spec(value, part.name) for value, part in zip(args, opdef.inputs, strict=False)]
        specs += [None] * (inputs - len(specs))
        outs = tuple(
            torch.empty(spec.shape, dtype=arrays.torch_dtype(spec.dtype), device=spec.device)
            for spec in infer_outputs(opdef, specs, values)
        )
        return outs[0] if len(outs) == 1 else outs

    return fake


def _spec(value: Any, name: str) -> ArraySpec | tuple[ArraySpec, ...] | None:  # noqa: ANN401 - fake tensors
    if value is None:
        return None
    if isinstance(value, (list, tuple)):
        return tuple(arrays.spec_of(item, name) for item in value)
    return arrays.spec_of(value, name)


def ready_core() -> None:
    """Ready the compiled core for the torch that is loaded; once in a process."""
    with _lock:
        _ready_core()


def _ready_core() -> None:
    global _is_ready  # noqa: PLW0603 - once in a process, under the lock
    if not _is_ready:
        folder = Path(torch.__file__).parent / "lib"
        init_torch(folder / "libtorch_cpu.so", _dtype_codes(), _take_problem)
        _is_ready = True


def _dtype_codes() -> Mapping[str, tuple[int, int]]:
    return {arrays.LONG_NAMES[name]: (dtype.code, dtype.bits) for name, dtype in DTYPES.items()}


def _tag_caches(table: KernelTable) -> None:
    """Make compiled graphs on disk of other contracts unfit: torch's own key does not see them."""
    from hashlib import sha256

    _contracts.append(f"{table.opdef.name}:{table.opdef.contract_hash}")
    digest = sha256("\n".join(sorted(_contracts)).encode()).hexdigest()
    base = torch.compiler.config.cache_key_tag.partition(";oag=")[0]
    torch.compiler.config.cache_key_tag = f"{base};oag={digest[:16]}"
