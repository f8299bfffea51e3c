"""Time and peak memory of cleaning and segmenting 20 MB, each way in a process of its own."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MEGABYTES = 20
BLOCK = 1 << 16  # characters read at a time
MAX_TOKENS = 512


def count_tokens(text: str) -> int:
    """Count so fast that it does not matter."""
    return len(text) // 3 + 1


def read_only(path: Path) -> int:
    """Hold the text and do nothing: what the others stand on."""
    return len(path.read_text("utf-8"))


def whole(path: Path) -> int:
    """Clean the text as a whole, then go through its segments."""
    from openautoglm.pipeline.text.chunks import iter_segments
    from openautoglm.pipeline.text.cleaning import clean

    text = clean(path.read_text("utf-8"))
    return sum(1 for _ in iter_segments(text, count_tokens, max_tokens=MAX_TOKENS))


def streamed(path: Path) -> int:
    """Clean block by block and segment each piece that comes out."""
    from openautoglm.pipeline.text.chunks import iter_segments
    from openautoglm.pipeline.text.cleaning import iter_clean

    return sum(
        1
        for piece in iter_clean(blocks(path))
        for _ in iter_segments(piece, count_tokens, max_tokens=MAX_TOKENS)
    )


def libraries(path: Path) -> int:
    """Take out the HTML with BeautifulSoup and repair with ftfy; no segments."""
    from bs4 import BeautifulSoup
    from ftfy import fix_text

    return len(fix_text(BeautifulSoup(path.read_text("utf-8"), "html.parser").get_text()))


WAYS: dict[str, Callable[[Path], int]] = {
    "read the text only": read_only,
    "clean, iter_segments": whole,
    "iter_clean, iter_segments (streamed)": streamed,
    "BeautifulSoup, ftfy (no segments)": libraries,
}


def blocks(path: Path) -> Iterator[str]:
    """Yield the file's text block by block."""
    with path.open(encoding="utf-8") as file:
        while block := file.read(BLOCK):
            yield block


def child(way: str, path: str) -> None:
    """Go one way and print what it took."""
    start = time.perf_counter()
    WAYS[way](Path(path))
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": round(seconds, 2), "peak MiB": round(peak)}))


def main() -> None:
    """Write the text once and go every way."""
    from text_cleaning import sample
    from timing import report

    rows = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mixed.txt"
        path.write_text(sample("mixed", MEGABYTES * 1_000_000), encoding="utf-8")
        for way in WAYS:
            command = [sys.executable, __file__, "--child", way, str(path)]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            rows.append({"way": way} | json.loads(done.stdout))
    report("20 MB of mixed text", rows, notes="One run each; peak is the process's resident set.")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(*sys.argv[2:4])
    else:
        main()
