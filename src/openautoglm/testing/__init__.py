"""Public fakes and conformance suites for people who write plugins; nothing imports this.

`prove("step", MyStep)` in a test checks a contribution against the suite of its extension point.
"""

from openautoglm.testing.echo import EchoBackend, echo_backend
from openautoglm.testing.remote import LocalRemote
from openautoglm.testing.suite import prove

__all__ = ["EchoBackend", "LocalRemote", "echo_backend", "prove"]
