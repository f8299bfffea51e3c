"""A step that writes a text in capitals."""

from openautoglm.pipeline.step import Step


class Upper(Step, frozen=True):
    outputs = {"text": "the text in capitals"}

    def run(self, *, text: str, context):
        return {"text": f"{context.source}: {text.upper()}"}
