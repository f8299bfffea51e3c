"""Errors of files and platforms: OAG501 to OAG599."""

from __future__ import annotations

from openautoglm.errors.base import OpenAutoGLMError


class InputNotFoundError(OpenAutoGLMError, FileNotFoundError):
    """An input file is not there or cannot be opened."""

    code = "OAG501"


class InputDecodeError(OpenAutoGLMError, ValueError):
    """An input is not the text, or the kind of file, that it should be; the message says where."""

    code = "OAG502"


class OutputWriteError(OpenAutoGLMError, OSError):
    """A result could not be written (disk full, no permission); what was written before is kept."""

    code = "OAG503"


class PlatformError(OpenAutoGLMError, OSError):
    """The platform this runs on cannot do what was asked of it."""

    code = "OAG504"


class DataUrlError(OpenAutoGLMError, ValueError):
    """A URL of a source or sink cannot be understood, or no kind of data has its scheme."""

    code = "OAG506"


class BadRowError(OpenAutoGLMError, ValueError):
    """A row of a source cannot be read; the message names the row."""

    code = "OAG507"


class SourceChangedError(OpenAutoGLMError, ValueError):
    """A source no longer holds what a position or a shard of it was made for."""

    code = "OAG508"


class SinkConflictError(OpenAutoGLMError, RuntimeError):
    """A sink was written after its end, or another attempt of the same part was committed first."""

    code = "OAG509"
