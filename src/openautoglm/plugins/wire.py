"""Errors as plain values, and back: the same class with the same words on both sides.

For adapters and servants whose answers hold errors; an error that a call ends in is carried by
whoever carries the call. Knows no transport.
"""

from __future__ import annotations

from typing import Final

from openautoglm import errors
from openautoglm.errors import OpenAutoGLMError
from openautoglm.errors.passing import let_pass, passes_after_s

_CLASSES: Final[dict[str, type[OpenAutoGLMError]]] = {
    value.code: value
    for value in vars(errors).values()
    if isinstance(value, type) and issubclass(value, OpenAutoGLMError)
}


def plain_error(error: BaseException) -> dict[str, object]:
    """Return an error as plain values; one that is not ours becomes its class and message.

    Example:
        >>> plain_error(KeyError("id"))["problem"]
        "KeyError: 'id'"
    """
    after_s = passes_after_s(error)
    passing = {} if after_s is None else {"passes_after_s": after_s}
    if not isinstance(error, OpenAutoGLMError):
        problem = f"{type(error).__name__}: {error}"
        return {"code": OpenAutoGLMError.code, "problem": problem, **passing}
    got = None if error.got is None else str(error.got)
    return {"code": error.code, "problem": error.problem, "got": got, "fix": error.fix, **passing}


def error_from(plain: object) -> OpenAutoGLMError:
    """Return the error that `plain_error` wrote down.

    Example:
        >>> type(error_from({"code": "OAG403", "problem": "no text"})).__name__
        'StepError'
    """
    parts = plain if isinstance(plain, dict) else {}
    kind = _CLASSES.get(str(parts.get("code")), OpenAutoGLMError)
    error = kind(
        str(parts.get("problem", "an error without words")),
        got=parts.get("got"),
        fix=None if parts.get("fix") is None else str(parts["fix"]),
    )
    let_pass(error, parts.get("passes_after_s"))
    return error
