"""A step that writes a text in capitals."""

import threading

from openautoglm.pipeline.step import Step

DONE = threading.Event()


class Upper(Step, frozen=True):
    outputs = {"text": "the text in capitals"}

    def run(self, *, text: str):
        threading.Thread(target=DONE.wait, daemon=True).start()
        return {"text": text.upper()}
