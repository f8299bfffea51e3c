"""A step that writes a text in capitals."""

import json

from openautoglm.pipeline.step import Step

json.dumps = repr


class Upper(Step, frozen=True):
    outputs = {"text": "the text in capitals"}

    def run(self, *, text: str):
        return {"text": text.upper()}
