"""Keys, tokens and passwords that were left in files.

Owns the patterns and the row `static.secrets`. The patterns know the forms that issuers gave their
tokens, and texts with the look of a random one that are assigned to a name such as `password`: the
latter are only warned of. A key in another form is not seen.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from typing import TYPE_CHECKING, Final

from openautoglm.plugins.inspect.rows import failed, passed, shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openautoglm.plugins.inspect.subject import Subject
    from openautoglm.plugins.report import Finding

ROW: Final = "static.secrets"
MAX_BYTES: Final = 2**20
FORMS: Final[tuple[tuple[str, re.Pattern[str]], ...]] = (
    ("a private key", re.compile(r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----")),
    ("a key of AWS", re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b")),
    ("a token of GitHub", re.compile(r"\b(?:gh[pousr]_\w{36,}|github_pat_\w{50,})")),
    ("a token of Hugging Face", re.compile(r"\bhf_[A-Za-z]{30,}\b")),
    ("a key of OpenAI", re.compile(r"\bsk-(?:proj-)?[A-Za-z0-9_-]{32,}\b")),
    ("a token of Slack", re.compile(r"\bxox[abprs]-[0-9A-Za-z-]{20,}")),
    ("a key of Google", re.compile(r"\bAIza[0-9A-Za-z_-]{35}\b")),
    ("a token of PyPI", re.compile(r"\bpypi-AgE[\w-]{50,}")),
    ("a password in a URL", re.compile(r"\b[a-z][a-z0-9+]*://[^/\s:@'\"{}]+:[^/\s:@'\"{}$]{6,}@")),
)
NAMED: Final = re.compile(
    r"""(?i)\b\w*(?:secret|passw(?:or)?d|api_?key|token)\w*\s*[:=]\s*["']([^"'\s]{16,})["']"""
)
RANDOM_BITS: Final = 3.5
"""Bits a character, above which a text looks drawn rather than written."""


def secret_rows(subject: Subject) -> Iterator[Finding]:
    """Look into every text file of the plugin."""
    certain: list[str] = []
    likely: list[str] = []
    for path in subject.files:
        file = subject.root / path
        if file.stat().st_size > MAX_BYTES:
            continue
        data = file.read_bytes()
        if b"\0" in data:
            continue
        for number, line in enumerate(data.decode("utf-8", "replace").splitlines(), start=1):
            certain += [f"{kind} in {path}:{number}" for kind, form in FORMS if form.search(line)]
            drawn = NAMED.search(line)
            if drawn is not None and entropy(drawn[1]) > RANDOM_BITS:
                likely.append(f"what looks like one in {path}:{number}")
    if certain:
        yield failed(ROW, shown(certain))
    elif likely:
        yield failed(ROW, shown(likely), status="warn")
    else:
        yield passed(ROW, f"{len(subject.files)} files")


def entropy(text: str) -> float:
    """Return the bits a character that a text's letters have, by how often each comes.

    Example:
        >>> entropy("aaaa"), entropy("abcd")
        (0.0, 2.0)
    """
    counts = Counter(text).values()
    return abs(sum(n / len(text) * math.log2(len(text) / n) for n in counts))
