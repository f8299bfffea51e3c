"""Errors as the JSON that ledgers and drivers get: `{code, problem, got, fix}`.

Owns `fault_of`. What is too long is cut: a ledger is not the place for whole documents.
"""

from __future__ import annotations

from typing import Final

from openautoglm.errors import OpenAutoGLMError
from openautoglm.jobs.orders import Fault

LONGEST: Final = 2000
"""Characters of each field."""


def fault_of(error: BaseException) -> Fault:
    """Return an error as texts; one that is not ours has its class for a code.

    Example:
        >>> fault_of(KeyError("text")).problem
        "KeyError: 'text'"
    """
    if isinstance(error, OpenAutoGLMError):
        got = "" if error.got is None else _text(error.got)
        return Fault(code=error.code, problem=_text(error.problem), got=got, fix=error.fix or "")
    name = type(error).__name__
    said = _text(error)
    return Fault(code=name, problem=f"{name}: {said}" if said else name)


def _text(value: object) -> str:
    try:
        text = str(value)
    except Exception as error:  # noqa: BLE001 - an error of somebody else may not even print
        text = f"an error that cannot be shown: {type(error).__name__}"
    return text[:LONGEST].encode("utf-8", "backslashreplace").decode()  # no lone surrogates
