"""Two steps; the source lies in a file of its own."""

from openautoglm.pipeline.step import Step


class Upper(Step, frozen=True):
    outputs = {"text": "the text in capitals"}

    def run(self, *, text: str):
        return {"text": text.upper()}

    def export_state(self):
        return {}

    def import_state(self, state, from_version):
        pass


class Lower(Step, frozen=True):
    outputs = {"text": "the text without capitals"}

    def run(self, *, text: str):
        return {"text": text.lower()}
