"""A step that writes a text in capitals."""

try:
    import acme_colours
except ImportError:
    acme_colours = None

from openautoglm.pipeline.step import Step


class Upper(Step, frozen=True):
    outputs = {"text": "the text in capitals"}

    def run(self, *, text: str):
        return {"text": acme_colours.red(text) if acme_colours else text.upper()}
