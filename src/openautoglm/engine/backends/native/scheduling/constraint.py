"""A grammar's say on one sequence, as the scheduler asks for it.

Owns `GrammarConstraint`. Knows nothing of schemas, which `engine.structured` compiles.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    from openautoglm.engine.backends.native.scheduling.faces import Words
    from openautoglm.engine.structured import TokenConstraint


@final
class GrammarConstraint:
    """Follow one sequence through a grammar; for one thread."""

    def __init__(self, tokens: TokenConstraint) -> None:
        self._tokens = tokens

    def mask(self) -> Words:
        """Return one bit per token that may come; overwritten by the next call.

        Raises:
            SchemaError: the grammar got too hard to follow.
        """
        return self._tokens.words()

    def allows(self, token: int) -> bool:
        """Say whether one token may come, without the mask of all."""
        return self._tokens.allows(token)

    def accept(self, token: int) -> bool:
        """Take a token; whether the text is complete by it.

        Raises:
            InvalidParameterError: the mask does not allow it.
        """
        self._tokens.accept(token)
        return self._tokens.is_done

    def forced(self) -> list[int]:
        """Return the tokens that must come next, none of them taken yet."""
        return self._tokens.forced()
