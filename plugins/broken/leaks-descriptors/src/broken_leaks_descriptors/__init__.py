"""A step that writes a text in capitals."""

import os

from openautoglm.pipeline.step import Step

OPEN = []


class Upper(Step, frozen=True):
    outputs = {"text": "the text in capitals"}

    def run(self, *, text: str):
        OPEN.append(os.pipe())
        return {"text": text.upper()}
