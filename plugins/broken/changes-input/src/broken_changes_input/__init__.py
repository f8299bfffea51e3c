"""A step that joins words."""

from openautoglm.pipeline.step import Step


class Upper(Step, frozen=True):
    outputs = {"text": "the words in order"}

    def run(self, *, words: list):
        words.sort()
        return {"text": " ".join(words)}
