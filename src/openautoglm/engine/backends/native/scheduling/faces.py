"""What the scheduler asks of the parts beside it: a model, a sampler, a constraint.

Owns the protocols alone. Knows none of their makers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence as Many

    import numpy as np
    from numpy.typing import NDArray

    Integers: TypeAlias = NDArray[np.int64]
    Logits: TypeAlias = NDArray[np.float32]
    Words: TypeAlias = NDArray[np.int32]

FAILED = -1
"""The token of a row that no token can be chosen for."""


class Adapter(Protocol):
    """Weights that are added to a model's for some sequences; there as long as one holds this."""

    @property
    def number(self) -> int:
        """Its own: above 0, and no other adapter ever gets it."""


class DecodingModel(Protocol):
    """A decoder with a cache of keys and values, one slot a sequence.

    What it computes for a row must not depend on the rows beside it.
    """

    @property
    def slots(self) -> int:
        """Sequences the cache has room for."""

    @property
    def context(self) -> int:
        """Positions of a slot."""

    @property
    def rows(self) -> int:
        """Most rows of one `forward`."""

    @property
    def vocabulary(self) -> int:
        """Width of the logits."""

    def forward(
        self,
        tokens: Integers,
        slots: Integers,
        positions: Integers,
        last: Integers,
        adapters: Integers | None = None,
    ) -> Logits:
        """Store keys and values of all rows, then return the logits of the rows `last`.

        `adapters` are the rows' adapters by number, 0 for none; None where no row has one.

        Raises:
            MemoryError: there is no room for so many rows.
        """

    def copy_prefix(self, source_slot: int, target_slot: int, positions: int) -> None:
        """Copy the first positions of one slot to another."""

    def release(self, slot: int) -> None:
        """Give the memory of a slot back; what it held is gone."""


class Draw(Protocol):
    """What a sampler may know of a sequence whose next token it chooses."""

    @property
    def params(self) -> object:
        """How to choose; the sampler's own type."""

    @property
    def seed(self) -> int | None:
        """Where the random numbers begin; None when none are needed."""

    @property
    def ids(self) -> list[int]:
        """Prompt and output so far; not to be changed."""

    @property
    def prompt_tokens(self) -> int:
        """How many of `ids` are the prompt; the rest is output.

        The n-th random number of a seed belongs to output token n, whoever chose those before.
        """

    @property
    def mask(self) -> Words | None:
        """One bit per token that may come, 32 a word, lowest first; None for all."""

    @property
    def banned(self) -> frozenset[int]:
        """Tokens that may not come yet."""

    notes: object
    """Whatever the sampler wants to find again at this sequence's next token; None at first."""


class Chosen(NamedTuple):
    """One token per row, `FAILED` where the logits are not numbers.

    Logprobs are of the sampler's own form; None for a row that asked for none.
    """

    tokens: Integers
    logprobs: Many[object] | None = None


class Sampler(Protocol):
    """Chooses tokens: a pure function of the logits and what a `Draw` tells."""

    def choose(self, logits: Logits, draws: Many[Draw]) -> Chosen:
        """Choose one token per row of logits, which it may overwrite unless it raises."""

    def remembers(self, draw: Draw) -> bool:
        """Whether its choice depends on the tokens before, or on how many they are."""

    def takes_largest(self, draw: Draw) -> bool:
        """Whether its choice is the largest logit of those that may come, and nothing is scored."""


class Constraint(Protocol):
    """What a sequence may say next."""

    def mask(self) -> Words | None:
        """Return one bit per token that may come; None for all."""

    def allows(self, token: int) -> bool:
        """Whether one token may come; much quicker than the mask."""

    def accept(self, token: int) -> bool:
        """Take a token; whether the sequence is complete by it."""

    def forced(self) -> list[int]:
        """Return the tokens that must come next, none of them taken yet; often empty."""
