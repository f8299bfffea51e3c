"""What an answer gains once it is whole: the value that its schema says.

Owns `complete`. Knows nothing of backends.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from openautoglm.engine.backend import Request
    from openautoglm.engine.generation import Generation


def complete(request: Request, generation: Generation) -> Generation:
    """Add `parsed` and `offsets` to an answer that followed a schema and is whole."""
    if request.schema is None or generation.finish_reason != "stop":
        return generation
    from openautoglm.engine.structured import parse

    found = parse(generation.text, request.schema, request.source_text)
    return replace(generation, parsed=found.value, offsets=found.offsets)
