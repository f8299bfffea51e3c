"""A step that writes a text in capitals."""

import tempfile
from pathlib import Path

from openautoglm.pipeline.step import Step


class Upper(Step, frozen=True):
    outputs = {"text": "the text in capitals"}

    def run(self, *, text: str):
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "text"
            file.write_text(text, encoding="utf-8")
            return {"text": file.read_text(encoding="utf-8").upper()}
