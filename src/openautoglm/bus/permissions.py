"""Who may do what: a table of source × verb × type, in which nothing is allowed unless it says so.

Knows nothing of channels and messages.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, final, get_args

from openautoglm.bus.names import check_pattern, matcher
from openautoglm.bus.words import shown
from openautoglm.errors import MessageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Verb = Literal["emit", "subscribe", "call", "respond"]
VERBS: Final[tuple[Verb, ...]] = get_args(Verb)
CORE: Final = "core"  # the host's own code

_MAX_CACHED: Final = 4096  # answers; a stranger may ask for any number of types


@dataclass(frozen=True, slots=True)
class Permission:
    """One line of the table.

    Attributes:
        source: a pattern over sources.
        verb: `emit`, `subscribe`, `call` (send a request) or `respond` (answer requests).
        type: a pattern over message types.
    """

    source: str
    verb: Verb
    type: str

    @classmethod
    def parse(cls, source: str, text: str) -> Permission:
        """Read one as manifests write it.

        Raises:
            MessageError: it is none.

        Example:
            >>> Permission.parse("acme.upper", "emit:acme.*")
            Permission(source='acme.upper', verb='emit', type='acme.*')
        """
        given: object = text  # by a manifest, which may hold anything
        name, colon, pattern = given.partition(":") if isinstance(given, str) else ("", "", "")
        verb = next((verb for verb in VERBS if verb == name), None)
        if verb is None or not colon:
            raise MessageError(
                "a permission is a verb and a pattern over types",
                got=shown(text),
                fix=f"write it like emit:acme.*, with one of {', '.join(VERBS)}",
            )
        return cls(check_pattern(source), verb, check_pattern(pattern))


@final
class PermissionTable:
    """Answer whether a source may do something with a type.

    Immutable: `granting` and `without` return another table. The host's own source, `core`, may
    do everything in every table.

    Example:
        >>> table = PermissionTable.of({"acme.upper": ["emit:acme.*"]})
        >>> table.allows("acme.upper", "emit", "acme.done")
        True
        >>> table.allows("acme.upper", "subscribe", "acme.done")
        False
    """

    __slots__ = ("_answers", "_rules", "permissions")

    def __init__(self, permissions: Iterable[Permission] = ()) -> None:
        self.permissions: Final = tuple(dict.fromkeys(permissions))
        self._rules: list[tuple[Verb, Callable[[str], bool], Callable[[str], bool]]] = [
            (rule.verb, matcher(rule.source), matcher(rule.type)) for rule in self.permissions
        ]
        self._answers: dict[tuple[str, Verb, str], bool] = {}

    @classmethod
    def of(cls, permissions: dict[str, Iterable[str]]) -> PermissionTable:
        """Return the table of `verb:type` texts by source; errors as `Permission.parse`."""
        return cls(
            Permission.parse(source, text)
            for source, texts in permissions.items()
            for text in texts
        )

    def granting(self, source: str, permissions: Iterable[str]) -> PermissionTable:
        """Return the table that allows a source more; errors as `Permission.parse`."""
        added = [Permission.parse(source, text) for text in permissions]
        return PermissionTable([*self.permissions, *added])

    def without(self, source: str) -> PermissionTable:
        """Return the table without the lines whose source is written exactly so."""
        return PermissionTable(rule for rule in self.permissions if rule.source != source)

    def allows(self, source: str, verb: Verb, type_: str) -> bool:
        """Return whether some line allows it.

        `type_` may be a pattern: then all that it takes must be allowed by one line. A star in it
        is only ever matched by a star of the table, since no name contains one.
        """
        asked = (source, verb, type_)
        known = self._answers.get(asked)
        if known is None:
            known = source == CORE or any(
                verb == allowed and is_source(source) and is_type(type_)
                for allowed, is_source, is_type in self._rules
            )
            if len(self._answers) >= _MAX_CACHED:
                self._answers.clear()
            self._answers[asked] = known
        return known

    def of_source(self, source: str) -> tuple[str, ...]:
        """Return the lines that hold for a source, as `verb:type` texts."""
        pairs = zip(self.permissions, self._rules, strict=True)
        return tuple(
            f"{rule.verb}:{rule.type}" for rule, (_, is_source, _) in pairs if is_source(source)
        )
