"""A step that writes a text in capitals."""

from pathlib import Path
import tempfile

from openautoglm.pipeline.step import Step

OURS = set()


class Upper(Step, frozen=True):
    outputs = {"text": "the text in capitals"}

    def run(self, *, text: str):
        lock = Path(tempfile.gettempdir()) / "lock"
        if lock.exists() and lock.stat().st_ino not in OURS:
            raise RuntimeError("another one is running")
        lock.touch()
        OURS.add(lock.stat().st_ino)
        return {"text": text.upper()}
