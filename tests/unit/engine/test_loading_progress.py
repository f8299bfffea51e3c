"""How far a model is that is being loaded, and that loading holds no second copy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from openautoglm import AutoGLM
from openautoglm.errors import InvalidParameterError
from openautoglm.testing import EchoBackend

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_a_function_is_told_how_far_loading_is(tiny_model: Callable[..., Path]) -> None:
    told: list[float] = []
    AutoGLM(tiny_model(), backend="native", progress=told.append).close()
    assert told == sorted(told)
    assert (told[0], told[-1]) == (0.0, 1.0)
    assert len(set(told)) > 4  # more than its beginning and its end
    before = len(told)
    AutoGLM(tiny_model(), backend="native").close()
    assert len(told) == before


def test_a_bar_goes_to_stderr_alone(
    tiny_model: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    AutoGLM(tiny_model(), backend="native", progress=True).close()
    out, err = capsys.readouterr()
    assert out == ""
    assert "loading" in err
    assert "100%" in err


def test_what_is_neither_is_refused() -> None:
    wrong: Any = "yes"
    with pytest.raises(InvalidParameterError, match="`progress`"):
        AutoGLM(backend=EchoBackend(), progress=wrong)
