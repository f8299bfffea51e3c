"""A step that writes a text in capitals."""

import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas  # only type checkers see it

from openautoglm.pipeline.step import Step


class Upper(Step, frozen=True):
    outputs = {"text": "the text in capitals"}

    def run(self, *, text: str):
        return {"text": text.upper()}


def table(text: str) -> "pandas.DataFrame":
    import importlib

    return importlib.import_module("pan" + "das").DataFrame({"text": [text]})


if __name__ == "__main__":
    subprocess.run([sys.executable, "-c", "print('hello')"], check=True)
