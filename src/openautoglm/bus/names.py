"""Names on the bus: message types, sources, and patterns over them.

A pattern is a name in which `*` stands for any run of characters, dots included: `config.*`
takes `config.update` and `config.model.nano`, not `config`. Knows nothing of messages.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from openautoglm.bus.words import shown
from openautoglm.errors import MessageError

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_NAME: Final = 128
MAX_STARS: Final = 4  # each may multiply the work of a match by the length of the name

_PART: Final = r"[A-Za-z0-9][A-Za-z0-9_-]*"
_NAME: Final = re.compile(rf"{_PART}(?:\.{_PART})*", re.ASCII)
_SOURCE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]*", re.ASCII)
_PATTERN: Final = re.compile(r"[A-Za-z0-9*][A-Za-z0-9._:/@+*-]*", re.ASCII)
_MAX_REMEMBERED: Final = 4096  # a stranger may send any number of names

_types: Final[set[str]] = set()
_sources: Final[set[str]] = set()


def plain(value: object) -> object:
    """Return the text itself of a text that is more than one, such as a `StrEnum`'s; else `value`.

    What the text says of itself by methods of its own, such as what it equals, does not count.
    """
    return str.__str__(value) if issubclass(type(value), str) else value


def check_type(name: object) -> str:
    """Return `name` if it may be the type of a message.

    Raises:
        MessageError: it may not.
    """
    if type(name) is str and name in _types:
        return name
    return _remembered(_types, _checked(name, _NAME, "a message type", "like `config.update`"))


def check_source(name: object) -> str:
    """Return `name` if it may be a source; errors as `check_type`."""
    if type(name) is str and name in _sources:
        return name
    return _remembered(_sources, _checked(name, _SOURCE, "a source", "like `plugin.auth`"))


def check_pattern(text: object) -> str:
    """Return `text` if it may be a pattern over types or sources; errors as `check_type`."""
    pattern = _checked(text, _PATTERN, "a pattern", "like `config.*`")
    if pattern.count("*") > MAX_STARS or "**" in pattern:
        raise MessageError(
            f"a pattern has at most {MAX_STARS} stars, none beside another",
            got=pattern,
            fix="match more with fewer, such as `config.*`",
        )
    return pattern


def matcher(pattern: str) -> Callable[[str], bool]:
    """Return whether a name is one the pattern takes, as a function.

    Example:
        >>> takes = matcher("config.*")
        >>> takes("config.update"), takes("config"), takes("job.config.update")
        (True, False, False)
    """
    literals = check_pattern(pattern).split("*")
    if len(literals) == 1:
        return pattern.__eq__
    compiled = re.compile(".*".join(map(re.escape, literals)), re.DOTALL)
    return lambda name: compiled.fullmatch(name) is not None


def _remembered(known: set[str], name: str) -> str:
    """Remember a name that was checked, since most come again and again."""
    if len(known) >= _MAX_REMEMBERED:
        known.clear()
    known.add(name)
    return name


def _checked(name: object, allowed: re.Pattern[str], noun: str, example: str) -> str:
    if type(name) is str and len(name) <= MAX_NAME and allowed.fullmatch(name):
        return name
    raise MessageError(
        f"{noun} is made of letters, digits and dots between them",
        got=shown(name),
        fix=f"write one of at most {MAX_NAME} characters, {example}",
    )
