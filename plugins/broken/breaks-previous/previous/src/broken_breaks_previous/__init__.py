"""A step that writes a text in capitals, and a function for other plugins."""

from openautoglm.pipeline.step import Step


class Upper(Step, frozen=True):
    outputs = {"text": "the text in capitals"}

    def run(self, *, text: str):
        return {"text": upper(text)}


def upper(text: str) -> str:
    return text.upper()


def lower(text: str) -> str:
    return text.lower()
