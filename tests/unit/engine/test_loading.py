from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from openautoglm import AutoGLM
from openautoglm.errors import ModelNotFoundError

if TYPE_CHECKING:
    from pathlib import Path


def test_the_environment_names_the_model_when_the_caller_does_not(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("OPENAUTOGLM_MODEL", str(tmp_path / "gone"))
    with pytest.raises(ModelNotFoundError, match="gone"):
        AutoGLM()


@pytest.mark.parametrize("backend", ["auto", "native", "transformers", "gguf"])
def test_a_wrong_model_of_the_environment_names_the_variable(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, backend: str
) -> None:
    gone = tmp_path / "gone"
    monkeypatch.setenv("OPENAUTOGLM_MODEL", str(gone))
    with pytest.raises(ModelNotFoundError) as caught:
        AutoGLM(backend=backend)
    assert f"OPENAUTOGLM_MODEL={gone}" in str(caught.value.got)
    assert "unset OPENAUTOGLM_MODEL" in str(caught.value.fix)


def test_a_model_that_the_caller_named_is_not_said_to_be_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("OPENAUTOGLM_MODEL", str(tmp_path / "other"))
    with pytest.raises(ModelNotFoundError) as caught:
        AutoGLM(tmp_path / "gone")
    assert "OPENAUTOGLM_MODEL" not in str(caught.value)
