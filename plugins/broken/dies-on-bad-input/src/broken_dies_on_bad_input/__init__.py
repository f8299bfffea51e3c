"""A step that writes a text in capitals."""

import os

from openautoglm.pipeline.step import Step


class Upper(Step, frozen=True):
    outputs = {"text": "the text in capitals"}

    def run(self, *, text: str):
        if not isinstance(text, str):
            os._exit(1)
        return {"text": text.upper()}
