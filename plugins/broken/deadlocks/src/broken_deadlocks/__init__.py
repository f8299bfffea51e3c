"""A step that writes a text in capitals."""

import threading

from openautoglm.pipeline.step import Step

LOCK = threading.Lock()


class Upper(Step, frozen=True):
    outputs = {"text": "the text in capitals"}

    def run(self, *, text: str):
        LOCK.acquire()
        return {"text": text.upper()}
