"""A step that writes a text in capitals, made by a function."""

from openautoglm.pipeline.step import Step


def make():
    class Upper(Step, frozen=True):
        outputs = {"text": "the text in capitals"}

        def run(self, *, text: str):
            return {"text": text.upper()}

    return Upper


Upper = make()
Shout = Upper
