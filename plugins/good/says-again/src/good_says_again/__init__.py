"""A backend that says the prompt again."""

from openautoglm.engine.backend import BackendEntry
from openautoglm.testing import EchoBackend


class Upper:
    def __init__(self, spec):
        self.echo = EchoBackend()

    def describe(self):
        return self.echo.describe()

    def count_tokens(self, text):
        return self.echo.count_tokens(text)

    def stream(self, request):
        return self.echo.stream(request)

    def batch(self, requests):
        return self.echo.batch(requests)

    def close(self):
        self.echo.close()


ENTRY = BackendEntry(load=Upper, summary="says the prompt again")
