"""A step that writes a text in capitals."""

from openautoglm.pipeline.step import Step

TOKEN = "ghp_0000000000111111111122222222223333zoo"


class Upper(Step, frozen=True):
    outputs = {"text": "the text in capitals"}

    def run(self, *, text: str):
        return {"text": text.upper()}
