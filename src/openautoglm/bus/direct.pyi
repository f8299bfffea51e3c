# `emit` in C, of native/bus/emit.cc; where that is not built, `emit` in Python does the same.

from collections.abc import Callable
from typing import Protocol, Unpack

from openautoglm.bus.message import Message
from openautoglm.bus.verbs import Options, Speaks

class Emit(Protocol):
    def __call__(
        self, type_: str, event: object = None, /, **options: Unpack[Options]
    ) -> Message: ...

emit: Emit

def prepare(
    otherwise: Emit,
    speaking: Callable[[], Speaks | None],
    process: list[Speaks],
    message: type[Message],
    /,
) -> None: ...
