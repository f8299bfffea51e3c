"""Why a kernel was chosen, as data and as text."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What would serve a call and why every other kernel would not; prints as a table.

    Attributes:
        op: the operator.
        winner: the kernel, None where none takes the call.
        refusals: every other kernel and its reason, in the order in which they were asked.
        copies: the winner wants contiguous inputs, and these are not: they would be copied.
    """

    op: str
    winner: str | None
    refusals: tuple[tuple[str, str], ...]
    copies: bool = False

    def __str__(self) -> str:
        first = f"{self.op}: {self.winner or 'no kernel takes this call'}"
        if self.copies:
            first += " (copies inputs that are not contiguous)"
        width = max((len(name) for name, _ in self.refusals), default=0)
        return "\n".join([first, *(f"  {name:<{width}}  {why}" for name, why in self.refusals)])
