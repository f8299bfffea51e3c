"""Weights of torch's `.bin` files as NumPy's arrays.

Owns the one import of torch in this backend; imported only where a folder has such a file, and
only behind `check_bin`.
"""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING, Any

from openautoglm.errors import ModelFolderError, WeightsCorruptError
from openautoglm.settings import need

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]


def read_bin(file: Path) -> Iterator[tuple[str, Array, bool]]:
    """Yield name, values and whether they are bf16, for each weight of a file.

    Raises:
        WeightsCorruptError: torch cannot read it.
        ModelFolderError: a weight is no float that this backend reads.
    """
    torch = need("torch", extra="local", why="reading .bin weights")
    is_zip = zipfile.is_zipfile(file)
    try:
        loaded = torch.load(file, map_location="cpu", weights_only=True, mmap=is_zip)
    except Exception as cause:  # torch raises many kinds
        raise WeightsCorruptError(
            f"torch cannot read the weights file `{file.name}`",
            got=str(cause)[:200],
            fix="download or copy the file again",
        ) from cause
    for name, tensor in loaded.items():
        if tensor.dtype not in (torch.float32, torch.float16, torch.bfloat16):
            raise ModelFolderError(
                f"`{file.name}` holds a weight whose dtype this backend does not read",
                got=f"{name}: {tensor.dtype}",
                fix='use backend="transformers"',
            )
        plain = tensor.detach().contiguous()
        is_bf16 = tensor.dtype == torch.bfloat16
        array = plain.view(torch.int16).numpy().view("uint16") if is_bf16 else plain.numpy()
        yield str(name), array, is_bf16
