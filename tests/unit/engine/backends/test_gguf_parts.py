"""GGUF models that lie in several files: opened by the first, the others refused by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from openautoglm import AutoGLM
from openautoglm.engine.backends.gguf.header import read_gguf
from openautoglm.errors import ModelFolderError
from openautoglm.testing import gguf_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def parts(tiny_model: Callable[..., Path], tmp_path: Path) -> list[Path]:
    return gguf_file.write_parts(tiny_model("llama"), tmp_path / "model.gguf", "f32", 3)


def refusal(file: Path) -> ModelFolderError:
    with pytest.raises(ModelFolderError) as caught:
        AutoGLM(file)
    return caught.value


def test_the_first_part_opens_the_whole_model(
    parts: list[Path], tiny_gguf: Callable[..., Path]
) -> None:
    assert parts[0].name == "model-00001-of-00003.gguf"
    assert read_gguf(parts[0]).file_bytes == sum(part.stat().st_size for part in parts)
    with AutoGLM(parts[0], max_length=16) as ours, AutoGLM(tiny_gguf("llama")) as whole:
        assert ours.run("the quick").text == whole.run("the quick", max_length=16).text
        assert ours.model_info.parameters == whole.model_info.parameters


def test_another_part_names_the_first(parts: list[Path]) -> None:
    for part in parts[1:]:
        error = refusal(part)
        assert "not the first" in error.problem
        assert error.got == part.name
        assert str(parts[0]) in str(error.fix)


def test_parts_that_are_missing_are_named(parts: list[Path]) -> None:
    parts[1].unlink()
    parts[2].unlink()
    error = refusal(parts[0])
    assert error.got == f"2 of 3: {parts[1].name}, {parts[2].name}"
    assert str(parts[0].parent) in str(error.fix)


@pytest.mark.parametrize("name", ["model.gguf", "model-00001-of-00002.gguf"])
def test_a_part_that_was_renamed_is_told_its_name(parts: list[Path], name: str) -> None:
    error = refusal(parts[0].rename(parts[0].with_name(name)))
    assert "found by their names" in error.problem
    assert "00001-of-00003" in str(error.fix)
