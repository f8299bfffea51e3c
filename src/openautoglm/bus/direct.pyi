# What native/bus/emit.cc does in C; where that is not built, Python does the same.

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
def begin_ids(prefix: str, /) -> None: ...
def next_id() -> str: ...
