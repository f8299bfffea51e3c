"""A step that writes a text in capitals."""

from functools import lru_cache

from openautoglm.pipeline.step import Step


@lru_cache(maxsize=64)
def upper(text):
    return text.upper()


class Upper(Step, frozen=True):
    outputs = {"text": "the text in capitals"}

    def run(self, *, text: str):
        return {"text": upper(text)}
