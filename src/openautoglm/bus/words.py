"""Short texts of what others hand to the bus, whatever it does when it is asked for one.

Knows nothing of messages.
"""

from __future__ import annotations

import reprlib
from typing import Final

MAX_TEXT: Final = 2048

_SHOW: Final = reprlib.Repr()
_SHOW.maxstring = _SHOW.maxother = 256


def shown(value: object) -> str:
    """Return a short text of something that is refused.

    Example:
        >>> shown("config update")
        "'config update'"
    """
    return written(_SHOW.repr(value))


def told(error: BaseException) -> str:
    """Return what an error is and says."""
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - it is whatever a handler raised
        text = "what it says cannot be told"
    return written(f"{type(error).__name__}: {text}")


def written(text: str) -> str:
    """Return a text that can be stored and sent: a bounded one, of characters that are some."""
    known = text[:MAX_TEXT].encode("utf-8", "backslashreplace").decode()
    return known if len(text) <= MAX_TEXT else f"{known}… ({len(text)} characters)"
