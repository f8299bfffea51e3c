"""What the compiled core has to know of the torch that is loaded, so that plain calls skip it.

The core reads tensors in place and asks torch's own functions what is on in a thread. Where they
are is found on tensors whose answers are known; a torch that is laid out in another way, or lacks
a function, is called through its dispatcher as before.
"""

from __future__ import annotations

import threading
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

import torch

from openautoglm.ops.torch_bridge import slots

if TYPE_CHECKING:
    from openautoglm.native.direct import Core, Sample

_WORD: Final = 8
_KEYS: Final = torch._C.DispatchKey  # noqa: SLF001 - it has no public name
_KEY_SET: Final = torch._C.DispatchKeySet  # noqa: SLF001 - it has no public name


@cache
def ready(core: Core) -> str | None:
    """Ready direct calls on torch's tensors; return why there are none, or None.

    Once in a process, after the core's slots are ready.
    """
    folder = Path(torch.__file__).parent / "lib"
    names = ("libc10.so", "libtorch_cpu.so", "libtorch_python.so")
    lacks = core.open_torch(*(str(folder / name) for name in names))
    if lacks is not None:
        return f"this torch has no {lacks}"
    found: list[str | None] = []
    # in a thread of its own: what is on in this one is not torch's default
    thread = threading.Thread(target=lambda: found.append(_calibrate(core)))
    try:
        thread.start()
    except RuntimeError as cause:  # there are too many, or the process ends
        return str(cause)
    thread.join()
    return found[0] if found else "torch could not be asked"


def _calibrate(core: Core) -> str | None:
    if core.thread_keys() != (0, 0):
        return "a new thread of this torch has dispatch keys of its own"
    with torch.inference_mode():
        inference = core.thread_keys()
        inferred = torch.ones(1, device="cpu")
    plain = torch.ones(1, device="cpu")
    keys = (_plain_keys("CPU"), _plain_keys("CUDA"))
    if keys[0] != (_keys(plain), _keys(inferred)) or inference in (None, (0, 0)):
        return "tensors of this torch have other dispatch keys"
    is_ready = core.ready_torch(
        (torch.Tensor, torch.nn.Parameter),
        torch.Tensor.__basicsize__ // _WORD,
        [_sample(tensor) for tensor in (plain, inferred, *_others())],
        (*keys[0], *keys[1]),
        inference,
        vars(torch.autograd.forward_ad),
        slots.raise_pending,
        getattr(torch.Tensor, "__dlpack_c_exchange_api__", None),
    )
    return None if is_ready else "tensors of this torch are laid out in another way"


def _plain_keys(device: str) -> tuple[int, int]:
    """Return the keys of a plain dense tensor, and those of one made in inference mode."""
    inferred = _KEY_SET(getattr(_KEYS, device)) | _KEY_SET(getattr(_KEYS, f"Autocast{device}"))
    plain = (
        inferred | _KEY_SET(_KEYS.ADInplaceOrView) | _KEY_SET(getattr(_KEYS, f"Autograd{device}"))
    )
    return plain.raw_repr(), inferred.raw_repr()


def _others() -> list[torch.Tensor]:
    """Return tensors that are not plain, or not alone in what they hold."""
    negated = torch.tensor([1 + 2j]).conj().imag
    return [
        torch.ones(2, requires_grad=True),
        torch.nn.Parameter(torch.ones(2)),
        negated,
        torch.ones(2, device="meta"),
        torch.ones(2).to_sparse(),
    ]


def _keys(tensor: torch.Tensor) -> int:
    keys: int = torch._C._dispatch_keys(tensor).raw_repr()  # noqa: SLF001 - it has no public name
    return keys


def _sample(tensor: torch.Tensor) -> Sample:
    return tensor, tensor._cdata, _keys(tensor)  # noqa: SLF001 - it has no public name
