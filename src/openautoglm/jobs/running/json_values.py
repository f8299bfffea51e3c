"""What JSON holds, and nothing else: outputs are checked before they are written.

Owns `check_json`. An encoder would take more (sets, bytes, NaN) and change it without a word.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from openautoglm.errors import StepError


def check_json(value: object, place: str) -> None:
    """Refuse what is not null, truth, a finite number, a text, or lists and objects of these.

    Raises:
        StepError: names the place.

    Example:
        >>> check_json({"label": "billing", "scores": [0.5, 1]}, "outputs")
    """
    kind = type(value)
    if kind is str or kind is int or kind is bool or value is None:
        return
    if isinstance(value, Mapping):
        _check_object(value, place)
    elif isinstance(value, (list, tuple)):
        for number, inner in enumerate(value):
            check_json(inner, f"{place}[{number}]")
    elif not isinstance(value, (str, int, float)):
        raise _refused(place, value, "return texts, numbers, lists and dicts; str(…) makes a text")
    elif isinstance(value, float) and not math.isfinite(value):
        raise _refused(place, value, "write null, or a text")


def _check_object(value: Mapping[object, object], place: str) -> None:
    for name, inner in value.items():
        if not isinstance(name, str):
            raise _refused(place, name, "names are texts")
        check_json(inner, f"{place}.{name}")


def _refused(place: str, value: object, fix: str) -> StepError:
    return StepError(
        f"`{place}` is not what JSON holds",
        got=f"{type(value).__name__}: {value!r}"[:200],
        fix=fix,
    )
