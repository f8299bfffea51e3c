"""How fast text is cleaned, beside libraries where they do the same work.

`BeautifulSoup.get_text` takes HTML out and decodes entities, `ftfy.fix_text` repairs encodings,
characters and entities. Neither does all of `clean`, which is timed on every text as a whole too.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from bs4 import BeautifulSoup
from ftfy import fix_text

from openautoglm.pipeline.text.cleaning import Repairs, clean, find_reasons
from timing import medians_s, report

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS = 5
BYTES = 1_000_000
CHINESE = "人工智能正在快速发展，越来越多的企业开始使用它。价格是１２元，共３件！\n"
ENGLISH = "Dr. Smith paid $3.14 for the kettle, which leaks since Monday. Please help.\n"
HTML = (
    '<div class="row"><p id="x">The <b>kettle</b> leaks &amp; drips.</p>\n'
    "<ul><li>价格：12&nbsp;元</li><li>if a < b: <a href='https://a.b/c?d=e'>link</a></li></ul></div>\n"
)
MOJIBAKE = "It â€™s the cafÃ©\u200b around the corner, æˆ‘ä»¬ meet there.\n"
SAMPLES = {
    "plain Chinese": CHINESE.replace("１２", "12").replace("３", "3"),
    "plain English": ENGLISH,
    "HTML": HTML,
    "mojibake": MOJIBAKE,
    "mixed": CHINESE * 6 + ENGLISH * 6 + HTML * 2 + MOJIBAKE,
}
ONLY_HTML = Repairs(mojibake=False, controls=False, forms=False, whitespace=False)
ONLY_CHARACTERS = Repairs(html=False)


def sample(name: str, size: int = BYTES) -> str:
    """Return the sample repeated to about `size` bytes of UTF-8."""
    return SAMPLES[name] * (size // len(SAMPLES[name].encode()))


def parse(text: str) -> str:
    """Take the HTML out with a parser."""
    return BeautifulSoup(text, "html.parser").get_text()


def measure(name: str) -> dict[str, str | float | int | None]:
    """Time all in turns; the figures are megabytes of UTF-8 a second."""
    text = sample(name)
    work: dict[str, Callable[[str], object]] = {
        "clean": clean,
        "find_reasons": find_reasons,
        "HTML alone": partial(clean, repairs=ONLY_HTML),
        "BeautifulSoup": parse,
        "all but HTML": partial(clean, repairs=ONLY_CHARACTERS),
        "ftfy": fix_text,
    }
    medians = medians_s({key: partial(run, text) for key, run in work.items()}, rounds=ROUNDS)
    megabytes = len(text.encode()) / 1e6
    return {"MB/s": name} | {key: round(megabytes / medians[key], 1) for key in work}


if __name__ == "__main__":
    report("Cleaning text", [measure(name) for name in SAMPLES], notes=f"{BYTES / 1e6:g} MB each.")
