"""What one check was asked to do, as data that all its parts read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

if TYPE_CHECKING:
    from openautoglm.ops.check.oracle import Tolerances

Profile: TypeAlias = Literal["full", "quick"]

SAMPLE_TIMEOUT_S: Final = {"full": 20.0, "quick": 4.0}
"""How long one call of a kernel may take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What one check was asked to do.

    Attributes:
        kernels: names of kernels or libraries; empty for all.
        grad: whether gradients are checked.
        dtypes: of the first input; empty for all that the operator takes.
        tolerances: by dtype.
        seed: what all values are drawn from.
        profile: `full`, or `quick`: fewer samples, graphs that are traced but not compiled to
            machine code.
        torch: whether the rows that need torch are asked.
    """

    kernels: tuple[str, ...]
    grad: bool
    dtypes: tuple[str, ...]
    tolerances: Tolerances
    seed: int
    profile: Profile
    torch: bool = True

    @property
    def timeout_s(self) -> float:
        """How long one call of a kernel may take."""
        return SAMPLE_TIMEOUT_S[self.profile]
