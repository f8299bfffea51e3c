"""What jinja is told so that it reads chat templates: a sandbox, one tag, two guarded types.

Owns `Sandbox`, `Generation`, `Dictionary` and `Names`. Knows nothing of chats. The only module that
imports jinja2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from jinja2 import nodes
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension
from jinja2.sandbox import ImmutableSandboxedEnvironment as Sandbox
from jinja2.utils import Namespace

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jinja2.parser import Parser
    from jinja2.runtime import Macro

__all__ = ["Dictionary", "Generation", "Names", "Sandbox"]


@final
class Generation(Extension):
    """`{% generation %}` marks what a model said for training; here its content is plain text."""

    tags = {"generation"}  # noqa: RUF012 - jinja's own way of naming tags

    def parse(self, parser: Parser) -> nodes.Node:
        """Read up to `{% endgeneration %}`."""
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.CallBlock(self.call_method("_same"), [], [], body).set_lineno(line)

    def _same(self, caller: Macro) -> str:
        return str(caller())


@final
class Dictionary:
    """`dict` of a template: makes dictionaries and gives away nothing else of the type."""

    def __call__(self, *args: Iterable[tuple[str, object]], **kwargs: object) -> dict[str, object]:
        """Do as `dict`."""
        return dict(*args, **kwargs)

    def fromkeys(self, names: Iterable[object], value: object = None) -> dict[object, object]:
        """Do as `dict.fromkeys`."""
        return dict.fromkeys(names, value)


@final
class Names(Namespace):
    """`namespace` of a template, without names that begin with an underscore.

    A template may give it a name `self`.
    """

    def __init__(*args: object, **kwargs: object) -> None:
        self, *rest = args
        values = dict(*rest, **kwargs)
        for name in values:
            _check(name)
        Namespace.__init__(self, values)

    def __setitem__(self, name: str, value: object) -> None:
        _check(name)
        super().__setitem__(name, value)


def _check(name: object) -> None:
    if isinstance(name, str) and name.startswith("_"):
        raise SecurityError(f"a chat template may not use the name {name!r}")
