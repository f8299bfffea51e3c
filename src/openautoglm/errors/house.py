"""Errors of the house, its registries and extras: OAG601 to OAG699."""

from __future__ import annotations

from openautoglm.errors.base import OpenAutoGLMError


class UnknownNameError(OpenAutoGLMError, LookupError):
    """A registry holds no entry of that name."""

    code = "OAG601"


class NameTakenError(OpenAutoGLMError, ValueError):
    """A registry holds an entry of that name already."""

    code = "OAG602"


class NoOwnerError(OpenAutoGLMError, RuntimeError):
    """An entry was added outside `owned_by`."""

    code = "OAG603"


class MissingExtraError(OpenAutoGLMError, ImportError):
    """An optional package is not installed; the message names the extra."""

    code = "OAG604"
