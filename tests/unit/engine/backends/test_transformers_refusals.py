"""What the library refuses of a folder, and what a user is told of it."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest

from openautoglm import AutoGLM
from openautoglm.errors import ModelFolderError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def changed(folder: Path, target: Path, **changes: object) -> Path:
    """Return a copy of a folder with values of its config.json changed; None takes one out."""
    file = shutil.copytree(folder, target) / "config.json"
    config = json.loads(file.read_text(encoding="utf-8")) | changes
    kept = {key: value for key, value in config.items() if value is not None}
    file.write_text(json.dumps(kept), encoding="utf-8")
    return target


def refusal(folder: Path) -> ModelFolderError:
    with pytest.raises(ModelFolderError) as caught:
        AutoGLM(folder, backend="transformers")
    assert caught.value.fix
    return caught.value


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"hidden_size": "wide"}, ("hidden_size", "wide")),
        ({"rope_parameters": "long"}, ("rope_parameters", "long")),
        ({"num_hidden_layers": [2]}, ("num_hidden_layers", "[2]")),
    ],
    ids=str,
)
def test_a_value_that_the_library_refuses_is_named_with_the_file(
    tiny_model: Callable[..., Path],
    tmp_path: Path,
    values: dict[str, object],
    named: tuple[str, ...],
) -> None:
    folder = changed(tiny_model("llama"), tmp_path / "model", **values)
    error = refusal(folder)
    assert "config.json" in error.problem
    assert str(error.got).startswith(f"{folder / 'config.json'}: ")
    assert all(word in str(error.got) for word in named)
    assert "config.json" in str(error.fix)


def test_a_tokenizer_that_cannot_be_read_is_told_with_its_folder(
    tiny_model: Callable[..., Path], tmp_path: Path
) -> None:
    folder = changed(tiny_model(), tmp_path / "model")
    (folder / "tokenizer.json").write_text("{", encoding="utf-8")
    assert str(refusal(folder).got).startswith(f"{folder}: ")


def test_weights_that_are_missing_are_named(
    tiny_model: Callable[..., Path], tmp_path: Path
) -> None:
    folder = changed(tiny_model(), tmp_path / "model", num_hidden_layers=3, layer_types=None)
    assert "missing: model.layers.2" in str(refusal(folder).got)


def test_weights_of_another_shape_are_named_with_both_shapes(
    tiny_model: Callable[..., Path], tmp_path: Path
) -> None:
    folder = changed(tiny_model(), tmp_path / "model", intermediate_size=24)
    error = refusal(folder)
    assert "weights" in error.problem
    assert "model.layers.0.mlp.down_proj.weight is [64, " in str(error.got)
    assert "config.json makes it [64, 24]" in str(error.got)
