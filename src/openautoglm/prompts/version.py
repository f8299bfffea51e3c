"""One immutable version of a prompt, and the hash that shows nobody changed it.

Knows no files.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from openautoglm.prompts.template import PromptTemplate


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptVersion:
    """One version, as it was saved.

    Attributes:
        number: 1 for the first, then one more each.
        created: when it was saved, UTC, whole seconds.
        message: what its author said about it.
        sha256: hash of the template and its variables; see `content_hash`.
        template: the template itself.
    """

    number: int
    created: datetime
    message: str
    sha256: str
    template: PromptTemplate


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptFile:
    """All that one file of a store holds."""

    versions: tuple[PromptVersion, ...]
    aliases: Mapping[str, int]


def content_hash(template: PromptTemplate) -> str:
    """Return the SHA-256 of the canonical form, in hexadecimal.

    The canonical form is the UTF-8 JSON object of `input_variables` and `template`, its keys
    sorted, without spaces and without escapes but those JSON requires. Message, number and date
    are not part of it.

    Example:
        >>> from openautoglm import PromptTemplate
        >>> content_hash(PromptTemplate("{a}", ["a"]))[:16]
        '269a5ae79e796246'
    """
    content = {
        "input_variables": list(template.input_variables),
        "template": template.template,
    }
    canonical = json.dumps(content, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()
