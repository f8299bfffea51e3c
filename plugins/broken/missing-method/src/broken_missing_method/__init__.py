"""A step that does nothing."""

from openautoglm.pipeline.step import Step


class Upper(Step, frozen=True):
    outputs = {"text": "the text in capitals"}

    def runs(self, *, text: str):
        return {"text": text.upper()}
