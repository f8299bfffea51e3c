"""What a check of a plugin found, as data, as JSON and as a table.

Owns `Finding` and `PluginReport`. Knows nothing of how anything is checked.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence

Status: TypeAlias = Literal["pass", "fail", "warn", "skip"]
SCHEMA = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was asked of a plugin, and the answer.

    Attributes:
        row: what was asked, as a dotted name such as `static.peers`.
        status: `warn` holds nothing up; `skip` where it could not be asked.
        measured: what was found; for a skipped row, why.
        threshold: what had to be found.
        consequence: what happens to a user where it does not hold; empty where it holds.
        fix: the one thing to do about it; empty where it holds.
        contribution: which contribution it is about, as `point:name`; empty for the whole plugin.
    """

    row: str
    status: Status
    measured: str = ""
    threshold: str = ""
    consequence: str = ""
    fix: str = ""
    contribution: str = ""

    def __str__(self) -> str:
        subject = f" ({self.contribution})" if self.contribution else ""
        lines = [f"{self.status} {self.row}{subject}: {self.measured}".rstrip(": ")]
        if self.status in {"fail", "warn"}:
            parts = ("threshold", "consequence", "fix")
            lines += [f"  {part}: {getattr(self, part)}" for part in parts if getattr(self, part)]
        return "\n".join(lines)


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginReport:
    """Everything that was asked of one version of a plugin; prints as a table.

    Attributes:
        plugin: its id.
        version: as its wheel says.
        findings: in the order in which they were asked.
        profile: `full` or `quick`.
    """

    plugin: str
    version: str
    findings: tuple[Finding, ...]
    profile: str = "full"

    @property
    def failures(self) -> tuple[Finding, ...]:
        """The findings that fail."""
        return tuple(finding for finding in self.findings if finding.status == "fail")

    @property
    def ok(self) -> bool:
        """Whether something was asked, and nothing fails."""
        return not self.failures and any(f.status == "pass" for f in self.findings)

    @property
    def digest(self) -> str:
        """The sha256, in hex, of `to_json`."""
        return sha256(self.to_json().encode()).hexdigest()

    def to_json(self) -> str:
        """Return the report as canonical JSON: sorted keys, no spaces, the same for equal reports.

        Example:
            >>> report = PluginReport(plugin="acme.upper", version="1.0", findings=())
            >>> report.to_json()
            '{"findings":[],"ok":false,"plugin":"acme.upper","profile":"full","schema":1,"version":"1.0"}'
        """
        content = {"schema": SCHEMA, "ok": self.ok, **asdict(self)}
        return json.dumps(content, ensure_ascii=False, sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str | bytes) -> PluginReport:
        """Read what `to_json` wrote.

        Raises:
            ValueError: the text is no report.
        """
        try:
            content = json.loads(text)
            return cls(
                plugin=content["plugin"],
                version=content["version"],
                profile=content["profile"],
                findings=tuple(Finding(**finding) for finding in content["findings"]),
            )
        except (KeyError, TypeError) as cause:
            raise ValueError(f"this is no report of a plugin: {cause}") from cause

    def __str__(self) -> str:
        cells = [("row", "", "contribution", "measured")]
        cells += [(f.row, f.status, f.contribution, f.measured) for f in self.findings]
        widths = [max(len(cell[i]) for cell in cells) for i in range(3)]
        lines = [_line(cells[0], widths)]
        for cell, finding in zip(cells[1:], self.findings, strict=True):
            lines.append(_line(cell, widths))
            lines += [f"    {line.strip()}" for line in str(finding).splitlines()[1:]]
        return "\n".join([*lines, self.summary()])

    def summary(self) -> str:
        """Return one line: how many findings pass, fail, warn and were skipped."""
        counts = Counter(finding.status for finding in self.findings)
        parts = [f"{counts[status]} {status}" for status in ("pass", "fail", "warn", "skip")]
        return f"{self.plugin} {self.version}: {', '.join(parts)} ({self.profile})"


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = [cell.ljust(width) for cell, width in zip(cells, widths, strict=False)]
    return "  ".join([*padded, cells[-1]]).rstrip()
