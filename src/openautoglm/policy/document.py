"""The input of a decision as JSON text: copied once, and refused when too large, deep or odd.

Owns `Limits` and `to_text`. Knows nothing of rules.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias, final

from openautoglm.errors import PolicyInputError

Json: TypeAlias = object
"""None, bool, int, float, str, a sequence of these, or a mapping of str to these."""

LARGEST_INT: Final = 2**63 - 1


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one decision may cost.

    The engine's time grows with the square of an array's length (100,000 numbers take it 20 s), so
    the input has a size, a depth and a number of values.

    Attributes:
        timeout_s: seconds for one decision, and for compiling the rules.
        input_bytes: the input as JSON in UTF-8.
        input_values: texts, numbers, objects and arrays in it, all counted.
        input_depth: objects and arrays inside one another.
        memory_mb: what the process that evaluates may take.
    """

    timeout_s: float = 5.0
    input_bytes: int = 256 * 1024
    input_values: int = 10_000
    input_depth: int = 64
    memory_mb: int = 512


def to_text(value: Mapping[str, Json], limits: Limits) -> bytes:
    """Return a mapping as JSON in UTF-8.

    Raises:
        PolicyInputError: it is too large, too deep, or no JSON; the message names the place.
    """
    copier = _Copier(limits)
    try:
        text = json.dumps(copier.copy(value, "input", 0), ensure_ascii=False).encode()
    except UnicodeEncodeError as cause:
        raise PolicyInputError("half a surrogate pair is no text", got=cause.reason) from cause
    if len(text) > limits.input_bytes:
        raise _too_large(f"{len(text)} bytes", limits)
    return text


class _Copier:
    """Copies what is JSON, and counts: what it refuses is never serialised."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._left = limits.input_bytes
        self._values_left = limits.input_values

    def copy(self, value: Json, place: str, depth: int) -> Json:
        self._values_left -= 1
        if self._values_left < 0:
            raise PolicyInputError(
                f"the input holds more than {self._limits.input_values} values",
                got=f"the next one at {place[:80]}",
                fix="pass the part that the rules need, or raise Limits.input_values",
            )
        if depth > self._limits.input_depth:
            raise PolicyInputError(
                "the input is nested too deeply",
                got=f"more than {self._limits.input_depth} levels at {place[:80]}",
                fix="pass the part that the rules need, or raise Limits.input_depth",
            )
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str):
            return self._text(value, place)
        if isinstance(value, int | float):
            return self._number(value, place)
        return self._container(value, place, depth)

    def _container(self, value: Json, place: str, depth: int) -> Json:
        if isinstance(value, Mapping):
            return {
                self._key(key, place): self.copy(item, f"{place}.{key}", depth + 1)
                for key, item in value.items()
            }
        if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray | memoryview):
            return [self.copy(item, f"{place}[{at}]", depth + 1) for at, item in enumerate(value)]
        raise PolicyInputError(
            f"{place} is no JSON", got=type(value).__name__, fix="pass JSON values only"
        )

    def _key(self, key: object, place: str) -> str:
        if not isinstance(key, str):  # whoever has no type checker
            raise PolicyInputError(f"a key in {place} is no text", got=repr(key)[:80])
        return self._text(key, place)

    def _text(self, value: str, place: str) -> str:
        self._left -= len(value)
        if self._left < 0:
            raise _too_large("more text than that", self._limits)
        if "\0" in value:
            raise PolicyInputError(f"{place} holds a NUL character", got=repr(value[:80]))
        return str(value)

    def _number(self, value: float, place: str) -> float:
        if not -LARGEST_INT <= value <= LARGEST_INT and not _is_finite_float(value):
            raise PolicyInputError(
                f"{place} is no number of 64 bits", got=type(value).__name__, fix="pass it as text"
            )
        return value


def _is_finite_float(value: object) -> bool:
    return isinstance(value, float) and math.isfinite(value)


def _too_large(got: str, limits: Limits) -> PolicyInputError:
    return PolicyInputError(
        f"the input is larger than {limits.input_bytes} bytes",
        got=got,
        fix="pass the part that the rules need, or raise Limits.input_bytes",
    )
