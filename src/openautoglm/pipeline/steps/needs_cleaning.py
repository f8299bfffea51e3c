"""The step `text.needs_cleaning`: the decision in front of cleaning. Owns its outputs only."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - msgspec reads the annotations
from typing import ClassVar, final

from openautoglm.pipeline.step import Step


@final
class NeedsCleaning(Step, frozen=True):
    """Send a text one way when `text.clean` would change it and the other way when not.

    The parameters are those of `text.clean`: a repair that is off there should be off here.

    Example:
        >>> NeedsCleaning().run(text="plain")
        {'clean': 'plain', 'reasons': []}
        >>> NeedsCleaning().run(text="<b>bold</b>")
        {'dirty': '<b>bold</b>', 'reasons': ["HTML at character 0: '<b>bold</b>'"]}
    """

    mojibake: bool = True
    entities: bool = True
    controls: bool = True
    forms: bool = True
    html: bool = True
    whitespace: bool = True
    exclusive: ClassVar[tuple[str, ...]] = ("dirty", "clean")
    outputs: ClassVar[Mapping[str, str]] = {
        "dirty": "the text, when it needs cleaning",
        "clean": "the text, when it does not",
        "reasons": "why it needs cleaning, one sentence for each repair; empty when it does not",
    }

    def run(self, *, text: str) -> Mapping[str, object]:
        """Return the text under `dirty` or `clean`, never both, and the reasons."""
        from openautoglm.pipeline.text.cleaning import Repairs, find_reasons

        repairs = Repairs(**{name: getattr(self, name) for name in _REPAIRS})
        reasons = find_reasons(text, repairs)
        return {
            "dirty" if reasons else "clean": text,
            "reasons": [str(reason) for reason in reasons],
        }


_REPAIRS = ("mojibake", "entities", "controls", "forms", "html", "whitespace")
