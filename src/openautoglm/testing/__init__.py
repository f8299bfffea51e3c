"""Public fakes and conformance suites for people who write plugins; nothing imports this."""

from openautoglm.testing.echo import EchoBackend, echo_backend

__all__ = ["EchoBackend", "echo_backend"]
