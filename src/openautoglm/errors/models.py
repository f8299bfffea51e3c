"""Errors of models and generation: OAG301 to OAG399."""

from __future__ import annotations

from openautoglm.errors.base import OpenAutoGLMError


class ModelNotFoundError(OpenAutoGLMError, FileNotFoundError):
    """Neither a folder nor a model name that can be resolved."""

    code = "OAG301"


class ModelFolderError(OpenAutoGLMError, ValueError):
    """The folder is there but is not a whole model."""

    code = "OAG302"


class WeightsCorruptError(OpenAutoGLMError, ValueError):
    """A weights file is truncated, damaged or disagrees with its own header."""

    code = "OAG303"


class UnsafeWeightsError(OpenAutoGLMError, ValueError):
    """A weights file carries code; it was not executed."""

    code = "OAG304"


class UnknownArchitectureError(OpenAutoGLMError, ValueError):
    """No backend can run this architecture."""

    code = "OAG305"


class ModelTooLargeError(OpenAutoGLMError, MemoryError):
    """The weights would not fit the memory that is free; nothing was loaded."""

    code = "OAG306"


class BackendUnavailableError(OpenAutoGLMError, RuntimeError):
    """The backend cannot run on this machine as it is."""

    code = "OAG307"


class BackendRequestError(OpenAutoGLMError, RuntimeError):
    """A remote model answered with an error, with garbage, or not at all.

    Attributes:
        may_pass: whether the same request may be answered when it is made again later.
        wait_s: how long the server asks to wait until then; None where it does not say.
    """

    code = "OAG308"

    def __init__(
        self,
        problem: str,
        *,
        got: object = None,
        fix: str | None = None,
        may_pass: bool = False,
        wait_s: float | None = None,
    ) -> None:
        super().__init__(problem, got=got, fix=fix)
        self.may_pass = may_pass
        self.wait_s = wait_s

    def __reduce__(self) -> tuple[object, ...]:
        how = {"may_pass": self.may_pass, "wait_s": self.wait_s}
        return type(self), (self.problem,), {"got": self.got, "fix": self.fix, **how}


class EngineClosedError(OpenAutoGLMError, RuntimeError):
    """The engine was used after `close`."""

    code = "OAG309"


class InvalidParameterError(OpenAutoGLMError, ValueError):
    """A parameter is outside its range or of a wrong type."""

    code = "OAG310"


class InvalidPromptError(OpenAutoGLMError, ValueError):
    """The prompt is empty, malformed, or longer than the model's context."""

    code = "OAG311"


class SchemaError(OpenAutoGLMError, ValueError):
    """A JSON schema is invalid, impossible, or asks for what decoding cannot enforce."""

    code = "OAG312"


class OutputParseError(OpenAutoGLMError, ValueError):
    """A model's output does not match what was asked of it."""

    code = "OAG313"


class EngineBusyError(OpenAutoGLMError, RuntimeError):
    """The engine cannot do this while it generates."""

    code = "OAG314"


class AdapterError(OpenAutoGLMError, ValueError):
    """An adapter cannot be read, or is not for this model."""

    code = "OAG315"
