"""The parts."""

from openautoglm.pipeline.step import Step


class Base(Step, frozen=True):
    mark: str = ""

    def run(self, *, text: str):
        return {"text": text.upper() + self.mark}


class Upper(Base, frozen=True):
    outputs = {"text": "the text in capitals"}
