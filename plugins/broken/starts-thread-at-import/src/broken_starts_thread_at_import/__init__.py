"""A step that writes a text in capitals."""

import threading
import time

from openautoglm.pipeline.step import Step

WATCH = threading.Thread(target=time.sleep, args=(60,), daemon=True)
WATCH.start()


class Upper(Step, frozen=True):
    outputs = {"text": "the text in capitals"}

    def run(self, *, text: str):
        return {"text": text.upper()}
