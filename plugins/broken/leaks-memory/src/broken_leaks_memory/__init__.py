"""A step that writes a text in capitals."""

from openautoglm.pipeline.step import Step

SEEN = []


class Upper(Step, frozen=True):
    outputs = {"text": "the text in capitals"}

    def run(self, *, text: str):
        SEEN.append(bytes(65_536))
        return {"text": text.upper()}
