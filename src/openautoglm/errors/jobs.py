"""Errors of jobs, their ledger and schedules: OAG801 to OAG899."""

from __future__ import annotations

from openautoglm.errors.base import OpenAutoGLMError


class JobSpecError(OpenAutoGLMError, ValueError):
    """A job is described in a way that cannot run; nothing was started."""

    code = "OAG801"


class JobNotFoundError(OpenAutoGLMError, LookupError):
    """The ledger holds no such job, or no such schedule."""

    code = "OAG802"


class JobChangedError(OpenAutoGLMError, ValueError):
    """A job was begun with something else than it would go on with; the message says what."""

    code = "OAG803"


class JobStateError(OpenAutoGLMError, RuntimeError):
    """A job cannot do this in the state it is in, or another process runs it."""

    code = "OAG804"


class FencedError(OpenAutoGLMError, RuntimeError):
    """A shard was given to another worker meanwhile; what this one brings is not taken."""

    code = "OAG805"


class LedgerError(OpenAutoGLMError, RuntimeError):
    """The ledger cannot be opened, read or written; what it took before is kept."""

    code = "OAG806"


class ScheduleError(OpenAutoGLMError, ValueError):
    """A schedule is described in a way that names no times; says which field."""

    code = "OAG807"


class WorkerDiedError(OpenAutoGLMError, RuntimeError):
    """A worker process died whenever it worked on this row."""

    code = "OAG808"


class ClusterError(OpenAutoGLMError, RuntimeError):
    """A cluster cannot be reached, or lacks what the workers of a job need."""

    code = "OAG809"
