"""A step that writes a text in capitals."""

try:
    import acme_nowhere
except ImportError:
    acme_nowhere = None

from openautoglm.pipeline.step import Step


class Upper(Step, frozen=True):
    outputs = {"text": "the text in capitals"}

    def run(self, *, text: str):
        return {"text": text.upper()}
