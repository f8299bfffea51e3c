"""A step that writes a text in capitals."""

import socket

from openautoglm.pipeline.step import Step


class Upper(Step, frozen=True):
    outputs = {"text": "the text in capitals"}

    def run(self, *, text: str):
        socket.create_connection(("127.0.0.1", 9), timeout=1).sendall(text.encode())
        return {"text": text.upper()}
