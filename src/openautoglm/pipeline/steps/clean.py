"""The step `text.clean`. Owns its parameters; the repairs are pure functions in `pipeline.text`."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - msgspec reads the annotations
from typing import ClassVar, final

from openautoglm.pipeline.step import Step


@final
class Clean(Step, frozen=True):
    """Repair a text and lose none of its words; a clean text is returned as it is.

    Attributes:
        mojibake: repair text decoded with the wrong encoding.
        entities: decode HTML's character references.
        controls: drop invisible characters and unify line breaks.
        forms: turn full-width letters, ligatures and the like into ordinary ones.
        html: take HTML out.
        whitespace: unify spaces, drop superfluous ones.

    Example:
        >>> Clean().run(text="<p>价格：１２&nbsp;元</p>")
        {'text': '价格：12 元'}
    """

    mojibake: bool = True
    entities: bool = True
    controls: bool = True
    forms: bool = True
    html: bool = True
    whitespace: bool = True
    outputs: ClassVar[Mapping[str, str]] = {"text": "the clean text"}

    def run(self, *, text: str) -> Mapping[str, object]:
        """Return the clean text."""
        from openautoglm.pipeline.text.cleaning import Repairs, clean

        return {"text": clean(text, Repairs(**{name: getattr(self, name) for name in _REPAIRS}))}


_REPAIRS = ("mojibake", "entities", "controls", "forms", "html", "whitespace")
