"""A step that writes a text in capitals."""

import itertools

from openautoglm.pipeline.step import Step

NUMBERS = itertools.count()


class Upper(Step, frozen=True):
    outputs = {"text": "the text in capitals"}

    def run(self, *, text: str):
        return {"text": f"{next(NUMBERS)} {text.upper()}"}
