"""A step that writes a text in capitals."""

import socket

from openautoglm.pipeline.step import Step

LISTENER = socket.socket()
LISTENER.bind(("127.0.0.1", 0))


class Upper(Step, frozen=True):
    outputs = {"text": "the text in capitals"}

    def run(self, *, text: str):
        return {"text": text.upper()}
