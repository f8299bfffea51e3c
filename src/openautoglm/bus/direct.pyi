# `emit` in C, of native/bus/emit.cc; where that is not built, `emit` in Python does the same.

from collections.abc import Callable

from openautoglm.bus.message import Message
from openautoglm.bus.verbs import Emit, Speaks

emit: Emit

def prepare(
    otherwise: Emit,
    speaking: Callable[[], Speaks | None],
    process: list[Speaks],
    message: type[Message],
    /,
) -> None: ...
