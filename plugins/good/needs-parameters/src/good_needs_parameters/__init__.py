"""A step that repeats a text."""

from openautoglm.pipeline.step import Step


class Upper(Step, frozen=True):
    times: int
    outputs = {"text": "the text, several times"}

    def run(self, *, text: str):
        return {"text": text * self.times}
