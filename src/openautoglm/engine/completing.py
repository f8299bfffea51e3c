"""What an answer gains once it is whole: the value that it says.

Owns `complete`. Knows nothing of backends.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from openautoglm.errors import OutputParseError

if TYPE_CHECKING:
    from openautoglm.engine.backend import Request
    from openautoglm.engine.generation import Generation


def complete(request: Request, generation: Generation) -> Generation:
    """Add `parsed` and `offsets` to an answer that was to have a form and is whole.

    Raises:
        OutputParseError: it has not, or a stop string cut it.
    """
    if request.grammar is None or generation.finish_reason != "stop":
        return generation
    try:
        found = request.grammar.parse(generation.text)
    except OutputParseError as error:
        if not request.params.stop or not _is_cut(error):
            raise
        raise OutputParseError(
            "the answer was cut before it had its form, by a stop string",
            got=repr(generation.text[-80:]),
            fix="leave `stop` out: an answer with a form ends by itself",
        ) from error
    return replace(generation, parsed=found.value, offsets=found.offsets)


def _is_cut(error: OutputParseError) -> bool:
    """Say whether a text is no whole JSON, or no whole text of its form."""
    return "does not follow the schema" not in error.problem
