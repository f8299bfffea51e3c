"""A step that writes a text in capitals."""

import time

from openautoglm.pipeline.step import Step

HELD = {}


class Upper(Step, frozen=True):
    outputs = {"text": "the text in capitals"}

    def run(self, *, text: str):
        HELD["text"] = text
        time.sleep(0.001)
        return {"text": HELD["text"].upper()}
