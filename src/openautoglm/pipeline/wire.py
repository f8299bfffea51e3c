"""What flows between steps, as plain values: `Generation`, `Segment` and errors travel by name.

Owns the plain form of a pipeline's values. Arrays are left as they are: how they travel is for the
transport. Knows no transport.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

import msgspec

from openautoglm.engine.generation import Generation
from openautoglm.engine.wire import generation_from, plain_generation
from openautoglm.errors import StepError
from openautoglm.pipeline.text.chunks import Segment
from openautoglm.plugins.wire import error_from, plain_error

if TYPE_CHECKING:
    from collections.abc import Callable

TAG: Final = "$oag"
_PLAIN: Final = (type(None), bool, int, float, str, bytes)


def to_wire(value: object) -> object:
    """Return a value as plain values and arrays; an iterator is read to its end.

    Raises:
        StepError: it holds something else; names its type.
    """
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, Mapping):
        items = {key: to_wire(item) for key, item in value.items()}
        return {TAG: "mapping", "is": items} if TAG in items else items
    if isinstance(value, (list, tuple, Iterator)):
        return [to_wire(item) for item in value]
    return _tagged(value)


def from_wire(plain: object) -> object:
    """Return the value that `to_wire` made plain; tuples and iterators have become lists."""
    if isinstance(plain, (list, tuple)):
        return [from_wire(item) for item in plain]
    if not isinstance(plain, Mapping):
        return plain
    read = _READERS.get(str(plain.get(TAG)))
    if read is not None:
        return read(plain["is"])
    return {key: from_wire(item) for key, item in plain.items()}


def _tagged(value: object) -> object:
    if isinstance(value, Generation):
        return {TAG: "generation", "is": plain_generation(value)}
    if isinstance(value, Segment):
        return {TAG: "segment", "is": msgspec.to_builtins(value)}
    if isinstance(value, Exception):
        return {TAG: "error", "is": plain_error(value)}
    if hasattr(value, "__dlpack__"):
        return value
    raise StepError(
        "a value cannot leave the process it was made in",
        got=f"{type(value).__module__}.{type(value).__qualname__}",
        fix="pass texts, numbers, lists, mappings, generations, segments or arrays, or run the "
        "plugin at L0",
    )


def _mapping(items: Mapping[str, object]) -> object:
    return {key: from_wire(item) for key, item in items.items()}


def _segment(plain: object) -> Segment:
    return msgspec.convert(plain, Segment)


_READERS: Final[dict[str, Callable[[Any], object]]] = {
    "generation": generation_from,
    "segment": _segment,
    "error": error_from,
    "mapping": _mapping,
}
