"""A step that writes a text in capitals."""

from concurrent.futures import ThreadPoolExecutor
from functools import cache

from openautoglm.pipeline.step import Step


@cache
def pool():
    return ThreadPoolExecutor(2)


class Upper(Step, frozen=True):
    outputs = {"text": "the text in capitals"}

    def run(self, *, text: str):
        return {"text": "".join(pool().map(str.upper, text))}
