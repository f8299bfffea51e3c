"""A step that writes a text in capitals."""

from openautoglm.pipeline.step import Step


class Step(Step, frozen=True):
    outputs = {"text": "the text in capitals"}

    def run(self, *, text: str):
        return {"text": text.upper()}
