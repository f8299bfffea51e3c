"""A step that writes a text in capitals."""

import sys

from openautoglm.pipeline.step import Step

sys.path.insert(0, "/tmp")


class Upper(Step, frozen=True):
    outputs = {"text": "the text in capitals"}

    def run(self, *, text: str):
        return {"text": text.upper()}
