"""What a request says of weights that are added to a model's, and who takes such requests.

Owns `Adapter` and `AdapterTaker`. Knows nothing of files.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapter:
    """A LoRA adapter.

    Attributes:
        name: what callers call it.
        path: its folder, as PEFT saves it; absolute.
        number: above 0, and no other adapter of this process ever gets it.
    """

    name: str
    path: str
    number: int


@runtime_checkable
class AdapterTaker(Protocol):
    """What a `Backend` may have besides: requests with adapters.

    A request may come with an adapter that was never announced, or that is no more: it is loaded
    for that request.
    """

    def load_adapter(self, adapter: Adapter) -> None:
        """Have an adapter ready, also while requests are under way.

        Raises:
            OpenAutoGLMError: it cannot be loaded, or is not for this model.
        """
        ...

    def unload_adapter(self, adapter: Adapter) -> None:
        """Give its memory back once the requests under way that have it are done."""
        ...
