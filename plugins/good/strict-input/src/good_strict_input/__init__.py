"""A step that writes a text in capitals."""

from openautoglm.pipeline.step import Step


class NotATextError(Exception):
    """What was passed is no text."""


class Upper(Step, frozen=True):
    outputs = {"text": "the text in capitals"}

    def run(self, *, text: str):
        if not isinstance(text, str):
            raise NotATextError(f"a text is needed, got {type(text).__name__}")
        return {"text": text.upper()}
