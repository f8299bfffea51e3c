"""Errors of operators and kernel libraries: OAG201 to OAG299."""

from __future__ import annotations

from openautoglm.errors.base import OpenAutoGLMError


class NoKernelError(OpenAutoGLMError, NotImplementedError):
    """No kernel of an operator takes this call; the message says why each one refused."""

    code = "OAG201"


class OperatorArgumentError(OpenAutoGLMError, ValueError, TypeError):
    """An argument of an operator has a wrong type, dtype, shape or value."""

    code = "OAG202"


class OperatorDefinitionError(OpenAutoGLMError, ValueError):
    """The definition of an operator or of a kernel contradicts itself or its contract."""

    code = "OAG203"


class KernelFailedError(OpenAutoGLMError, RuntimeError):
    """A kernel raised, or returned what its contract does not allow."""

    code = "OAG204"


class LibraryRefusedError(OpenAutoGLMError, RuntimeError):
    """A kernel library was refused before any of its code could do harm."""

    code = "OAG205"


class BuildFailedError(OpenAutoGLMError, RuntimeError):
    """The compiler is missing or did not accept the source."""

    code = "OAG206"


class TransformUnsupportedError(OpenAutoGLMError, NotImplementedError):
    """A functional transform of torch cannot go through this operator."""

    code = "OAG207"


class CheckFailedError(OpenAutoGLMError, AssertionError):
    """An operator does not keep its contract; the report names the smallest input that shows it."""

    code = "OAG208"
