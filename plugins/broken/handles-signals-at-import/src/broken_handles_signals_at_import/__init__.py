"""A step that writes a text in capitals."""

import signal

from openautoglm.pipeline.step import Step

signal.signal(signal.SIGUSR1, signal.SIG_IGN)


class Upper(Step, frozen=True):
    outputs = {"text": "the text in capitals"}

    def run(self, *, text: str):
        return {"text": text.upper()}
