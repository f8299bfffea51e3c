"""How many threads torch computes with on a CPU: one number for the whole process.

Owns `use_threads`. A model of a few million weights is slower with many threads than with one, on a
busy machine several times, so the one that comes with the package asks for one. It does not reach
threads of this process that used torch before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

import torch

from openautoglm.errors import InvalidParameterError

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_THREADS: Final = 1024


@final
class _Default:
    """Torch's own number, kept while the default of a small model is in force."""

    replaced: int | None = None


def use_threads(options: Mapping[str, object], *, default: int | None) -> None:
    """Set the number of threads before a model is loaded.

    Args:
        options: `threads` sets it for good.
        default: set where the options name none, until a model without a default is loaded,
            which gets torch's own number back.

    Raises:
        InvalidParameterError: `threads` is no number from 1 to 1024.
    """
    given = options.get("threads")
    if given is not None:
        torch.set_num_threads(_checked(given))
        _Default.replaced = None
    elif default is not None:
        _Default.replaced = torch.get_num_threads()
        torch.set_num_threads(default)
    elif _Default.replaced is not None:
        torch.set_num_threads(_Default.replaced)
        _Default.replaced = None


def _checked(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_THREADS:
        raise InvalidParameterError(
            f"`threads` must be a whole number from 1 to {MAX_THREADS}",
            got=repr(value),
            fix="threads=1, or leave it out",
        )
    return value
