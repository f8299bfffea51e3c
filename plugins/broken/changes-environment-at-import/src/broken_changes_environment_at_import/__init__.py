"""A step that writes a text in capitals."""

import os

from openautoglm.pipeline.step import Step

os.environ["BROKEN"] = "1"


class Upper(Step, frozen=True):
    outputs = {"text": "the text in capitals"}

    def run(self, *, text: str):
        return {"text": text.upper()}
