"""What a job does with a row, whatever it is: a pipeline, a prompt, a function.

Owns `Work` and `Answer`. Knows nothing of shards, ledgers, processes or retries.
"""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - msgspec reads the annotation
from typing import TYPE_CHECKING, Protocol, final

import msgspec

if TYPE_CHECKING:
    from openautoglm.data.source import Row


@final
class Answer(msgspec.Struct, frozen=True, gc=False):
    """What became of a row.

    Attributes:
        outputs: by name, what JSON holds.
        tokens: computed for it, prompt included.
    """

    outputs: Mapping[str, object]
    tokens: int = 0


class Work(Protocol):
    """Made once in each worker process, of a job's description; the model is loaded then."""

    def inputs(self) -> tuple[str, ...]:
        """Return the names of the values that every row must have."""
        ...

    def fingerprint(self) -> Mapping[str, str]:
        """Return, by part, texts that change when answers may: model, prompt, operators."""
        ...

    def answer(self, values: Row) -> Answer:
        """Work on one row. Called from many threads at a time, which is how an engine stays full.

        Args:
            values: by input, columns mapped already; more than `inputs` may be there.

        Raises:
            Exception: of any kind; this row failed.
        """
        ...

    def close(self) -> None:
        """Give back the model."""
        ...
