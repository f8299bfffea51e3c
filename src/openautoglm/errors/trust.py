"""Errors of policy and signing: OAG711 to OAG719."""

from __future__ import annotations

from openautoglm.errors.base import OpenAutoGLMError


class PolicyError(OpenAutoGLMError, RuntimeError):
    """Rules cannot be read or compiled, or gave no result; file and line are named where known."""

    code = "OAG711"


class PolicyInputError(OpenAutoGLMError, ValueError):
    """The input of a decision is too large, too deep, or no JSON."""

    code = "OAG712"


class PolicyTimeoutError(PolicyError, TimeoutError):
    """The rules did not come to a decision in time."""

    code = "OAG713"


class SigningKeyError(OpenAutoGLMError, ValueError):
    """A signing key cannot be made, read, or used for this."""

    code = "OAG715"


class KeyringError(OpenAutoGLMError, ValueError):
    """A keyring cannot be read, or what it should hold contradicts itself."""

    code = "OAG716"


class PackageRefusedError(OpenAutoGLMError, ValueError):
    """A package is not a whole and plain wheel; nothing of it was unpacked."""

    code = "OAG717"


class SignatureError(OpenAutoGLMError, ValueError):
    """A signature file cannot be read, or does not belong to the package."""

    code = "OAG718"


class ContentStoreError(OpenAutoGLMError, RuntimeError):
    """Stored content is not what was put there, or was never verified."""

    code = "OAG719"
