"""Errors of pipelines: OAG401 to OAG499."""

from __future__ import annotations

from openautoglm.errors.base import OpenAutoGLMError


class PipelineSyntaxError(OpenAutoGLMError, ValueError):
    """A pipeline file cannot be read; the message names file, line and the fix."""

    code = "OAG401"


class PipelineGraphError(OpenAutoGLMError, ValueError):
    """The components do not form a graph that can run: a cycle, a missing or a wrong connection."""

    code = "OAG402"


class StepError(OpenAutoGLMError, RuntimeError):
    """A step failed on a record; the message names both."""

    code = "OAG403"
