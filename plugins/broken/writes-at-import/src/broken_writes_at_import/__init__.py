"""A step that writes a text in capitals."""

from pathlib import Path

from openautoglm.pipeline.step import Step

Path("broken.txt").write_text("here")


class Upper(Step, frozen=True):
    outputs = {"text": "the text in capitals"}

    def run(self, *, text: str):
        return {"text": text.upper()}
