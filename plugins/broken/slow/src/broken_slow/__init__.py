"""A step that writes a text in capitals."""

import time

from openautoglm.pipeline.step import Step


class Upper(Step, frozen=True):
    outputs = {"text": "the text in capitals"}

    def run(self, *, text: str):
        time.sleep(0.11)
        return {"text": text.upper()}
