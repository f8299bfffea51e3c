"""Values of databases and columnar files as what JSON holds, for every kind of source.

Owns `as_json`. Numbers that JSON lacks become null, what is exact stays so as text: that is what a
row may carry into a prompt and into any sink.
"""

from __future__ import annotations

import base64
import datetime as dt
import math
from collections.abc import Mapping
from typing import Final

PLAIN: Final = (str, bool, int, type(None))


def as_json(value: object) -> object:
    """Return a value as texts, numbers, booleans, null, lists and objects.

    Dates and times become ISO 8601, durations too, in seconds; decimals their digits as text, bytes
    Base64, NaN and infinities null; sets and tuples lists, keys of objects texts; whatever else
    there is, such as a UUID, is written as text.

    Example:
        >>> from decimal import Decimal
        >>> as_json({"when": dt.date(2026, 11, 23), "price": Decimal("12.50"), "raw": b"oag"})
        {'when': '2026-11-23', 'price': '12.50', 'raw': 'b2Fn'}
        >>> as_json([math.nan, dt.timedelta(minutes=1)])
        [None, 'PT60S']
    """
    if isinstance(value, PLAIN):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(name): as_json(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [as_json(inner) for inner in value]
    return _as_text(value)


def _as_text(value: object) -> str:
    if isinstance(value, (dt.datetime, dt.date, dt.time)):
        return value.isoformat()
    if isinstance(value, dt.timedelta):
        return f"PT{value.total_seconds():.6f}".rstrip("0").rstrip(".") + "S"
    if isinstance(value, (bytes, bytearray, memoryview)):
        return base64.b64encode(value).decode()
    return str(value)
