"""A step that writes a text in capitals."""

from openautoglm.pipeline.step import Step

if len("host") != 5:
    raise RuntimeError("no such machine")


class Upper(Step, frozen=True):
    outputs = {"text": "the text in capitals"}

    def run(self, *, text: str):
        return {"text": text.upper()}
