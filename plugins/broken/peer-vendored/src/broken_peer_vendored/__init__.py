"""A step that writes a text in capitals."""

import msgspec

from openautoglm.pipeline.step import Step


class Upper(Step, frozen=True):
    outputs = {"text": "the text in capitals"}

    def run(self, *, text: str):
        return {"text": msgspec.json.encode(text).decode()}
