"""What a worker serves, and how that ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from openautoglm.plugins.host.serving import Servants

if TYPE_CHECKING:
    import pytest


class Closing:
    def __init__(self, closed: list[str], error: BaseException | None = None) -> None:
        self.closed, self.error = closed, error

    def close(self) -> None:
        self.closed.append("closed")
        if self.error is not None:
            raise self.error


def test_a_contribution_that_fails_to_close_keeps_no_other_from_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    closed: list[str] = []
    served = {
        "step:acme.bad": (object(), Closing(closed, OSError("no luck"))),
        "step:acme.worse": (object(), Closing(closed, SystemExit(3))),
        "step:acme.plain": (object(), object()),
        "step:acme.good": (object(), Closing(closed)),
    }
    Servants(served).close()
    assert closed == ["closed"] * 3
    assert "OSError: no luck" in capsys.readouterr().err
