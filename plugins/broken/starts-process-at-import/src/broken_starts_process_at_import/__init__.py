"""A step that writes a text in capitals."""

import subprocess
import sys

from openautoglm.pipeline.step import Step

subprocess.run([sys.executable, "-c", ""], check=True)


class Upper(Step, frozen=True):
    outputs = {"text": "the text in capitals"}

    def run(self, *, text: str):
        return {"text": text.upper()}
