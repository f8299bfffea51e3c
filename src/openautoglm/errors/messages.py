"""Errors of the bus: OAG701 to OAG709."""

from __future__ import annotations

from openautoglm.errors.base import OpenAutoGLMError


class MessageError(OpenAutoGLMError, ValueError):
    """A message, a type, a pattern or a permission is not well formed."""

    code = "OAG701"


class SourceForgedError(OpenAutoGLMError, PermissionError):
    """A message claims a source that is not its channel's."""

    code = "OAG702"


class BusDeniedError(OpenAutoGLMError, PermissionError):
    """No permission allows this source to do this with this type."""

    code = "OAG703"


class NoResponderError(OpenAutoGLMError, LookupError):
    """Nobody answers requests of this type."""

    code = "OAG704"


class DeadlineExceededError(OpenAutoGLMError, TimeoutError):
    """No reply came before the deadline."""

    code = "OAG705"


class RespondFailedError(OpenAutoGLMError, RuntimeError):
    """Who answers requests of this type failed, or has too many of them."""

    code = "OAG706"


class BusClosedError(OpenAutoGLMError, RuntimeError):
    """The bus, a channel or an outbox was used after `close`."""

    code = "OAG707"


class OutboxError(OpenAutoGLMError, OSError):
    """A durable message could not be stored or fetched; nothing was lost silently."""

    code = "OAG708"


class AuditBrokenError(OpenAutoGLMError, ValueError):
    """An audit log was altered, or another process writes it."""

    code = "OAG709"
