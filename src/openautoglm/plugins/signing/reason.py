"""Why a package is not trusted, as data: a code from a closed set, and the detail."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, final, get_args

Code: TypeAlias = Literal[
    # the archive
    "not-an-archive",
    "stray-bytes",
    "member-header",
    "member-name",
    "member-type",
    "name-twice",
    "too-large",
    "damaged",
    "record",
    "manifest",
    # the signature
    "unsigned",
    "envelope",
    "statement",
    "package-digest",
    "file-digest",
    "file-missing",
    "file-extra",
    "manifest-digest",
    "report-digest",
    "signed-in-future",
    # the keys
    "bad-signature",
    "unknown-key",
    "expired-key",
    "early-key",
    "revoked-key",
    "id-not-allowed",
    "threshold",
    "downgrade",
]
CODES: Final = frozenset(get_args(Code))


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """One reason; `detail` names the file, key or number it is about."""

    code: Code
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.code}: {self.detail}" if self.detail else self.code


class Refusal(Exception):  # noqa: N818 - it is a finding on its way up, no error of ours
    """Carries a reason out of the depths of an archive or an envelope; never leaves `signing`."""

    def __init__(self, code: Code, detail: object = "") -> None:
        super().__init__(code)
        self.reason = Reason(code=code, detail=str(detail)[:200])
