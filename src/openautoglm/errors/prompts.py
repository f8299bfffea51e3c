"""Errors of prompts and their store: OAG101 to OAG199."""

from __future__ import annotations

from openautoglm.errors.base import OpenAutoGLMError


class TemplateSyntaxError(OpenAutoGLMError, ValueError):
    """A template's text cannot be read; the message names line, column and the fix."""

    code = "OAG101"


class TemplateVariableError(OpenAutoGLMError, ValueError):
    """The variables declared and the variables used differ."""

    code = "OAG102"


class TemplateValueError(OpenAutoGLMError, ValueError):
    """`format` lacks a variable, got one too many, or a value of a wrong type."""

    code = "OAG103"


class PromptNotFoundError(OpenAutoGLMError, LookupError):
    """The prompt store holds no such prompt, version or alias."""

    code = "OAG110"


class PromptStoreError(OpenAutoGLMError, ValueError):
    """A prompt file cannot be read, was edited behind the store, or would lose a version."""

    code = "OAG111"
