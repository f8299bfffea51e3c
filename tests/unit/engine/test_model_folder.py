from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from openautoglm.engine.model_folder import check_architecture, inspect
from openautoglm.errors import (
    ModelFolderError,
    ModelNotFoundError,
    OpenAutoGLMError,
    UnknownArchitectureError,
    WeightsCorruptError,
)

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def folder(tiny_model: Callable[..., Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_model(), tmp_path / "model"))


def change(file: Path, **changes: object) -> None:
    value = json.loads(file.read_text(encoding="utf-8")) | changes
    kept = {key: item for key, item in value.items() if item is not None}
    file.write_text(json.dumps(kept), encoding="utf-8")


def test_a_whole_folder_says_what_it_holds(folder: Path) -> None:
    found = inspect(folder)
    assert (found.model_type, found.architecture) == ("qwen2", "Qwen2ForCausalLM")
    assert (found.context_length, found.vocabulary) == (128, 328)
    assert found.parameters == 104_000
    assert found.bytes_as(2) < found.bytes_as(4)
    assert found.bytes_as(None) == found.weights_bytes
    assert found.has_tokenizer


@pytest.mark.parametrize("weights", ["shards", "bin", "legacy_bin"])
def test_every_layout_of_weights_is_found(tiny_model: Callable[..., Path], weights: str) -> None:
    found = inspect(tiny_model(weights=weights))
    assert len(found.weights) > 1 or weights != "shards"
    assert found.weights_bytes > 400_000
    assert 2 * found.bytes_as(2) == pytest.approx(found.bytes_as(4), rel=0.05)


def no_config(folder: Path) -> None:
    (folder / "config.json").unlink()


def config_is_not_json(folder: Path) -> None:
    (folder / "config.json").write_text("{", encoding="utf-8")


def config_is_deeply_nested(folder: Path) -> None:
    (folder / "config.json").write_text("[" * 100_000, encoding="utf-8")


def config_is_a_list(folder: Path) -> None:
    (folder / "config.json").write_text("[]", encoding="utf-8")


def config_is_not_text(folder: Path) -> None:
    (folder / "config.json").write_bytes(b"\xff\xfe\x00")


def no_model_type(folder: Path) -> None:
    change(folder / "config.json", model_type=None)


def model_type_is_a_number(folder: Path) -> None:
    change(folder / "config.json", model_type=7)


def no_weights(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "model.gguf")


def checksum_file_is_not_json(folder: Path) -> None:
    (folder / "weights.sha256.json").write_text("?", encoding="utf-8")


def checksum_is_no_checksum(folder: Path) -> None:
    (folder / "model.safetensors.sha256").write_text("12", encoding="utf-8")


BROKEN: dict[Callable[[Path], None], str] = {
    no_config: "no config.json",
    config_is_not_json: "`config.json` is not JSON",
    config_is_deeply_nested: "`config.json` is not JSON",
    config_is_a_list: "not a JSON object",
    config_is_not_text: "`config.json` is not JSON",
    no_model_type: "names no `model_type`",
    model_type_is_a_number: "names no `model_type`",
    no_weights: "no weights in the model folder",
    checksum_file_is_not_json: "is not JSON",
    checksum_is_no_checksum: "holds no SHA-256",
}


@pytest.mark.parametrize("breaking", BROKEN, ids=lambda breaking: breaking.__name__)
def test_a_folder_that_is_not_whole_is_refused_with_a_fix(
    breaking: Callable[[Path], None], folder: Path
) -> None:
    breaking(folder)
    with pytest.raises(ModelFolderError, match=BROKEN[breaking]) as caught:
        inspect(folder)
    assert caught.value.fix


def test_a_file_or_nothing_is_not_a_folder(folder: Path) -> None:
    with pytest.raises(ModelNotFoundError, match="a file, not a folder"):
        inspect(folder / "config.json")
    with pytest.raises(ModelNotFoundError, match="no such model folder"):
        inspect(folder / "nothing")


def test_an_index_that_names_missing_shards_lists_them(
    tiny_model: Callable[..., Path], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(tiny_model(weights="shards"), tmp_path / "model"))
    gone = sorted(folder.glob("*.safetensors"))[1]
    gone.unlink()
    with pytest.raises(ModelFolderError, match=gone.name):
        inspect(folder)


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "..", "a/b"])
def test_an_index_may_not_leave_the_folder(folder: Path, name: str) -> None:
    (folder / "model.safetensors").unlink()
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"x": name}}), encoding="utf-8")
    with pytest.raises(ModelFolderError, match="outside the folder"):
        inspect(folder)


def test_an_architecture_that_is_not_known_names_the_nearest(folder: Path) -> None:
    change(folder / "config.json", model_type="qwen22")
    with pytest.raises(UnknownArchitectureError, match="did you mean `qwen2`"):
        check_architecture(inspect(folder), ["llama", "qwen2"])


def test_a_model_with_code_of_its_own_is_refused(folder: Path) -> None:
    change(folder / "config.json", model_type="mine", auto_map={"AutoModel": "mine.Model"})
    with pytest.raises(UnknownArchitectureError, match="never run"):
        check_architecture(inspect(folder), ["llama", "qwen2"])


@pytest.mark.parametrize("form", ["sidecar", "manifest"])
def test_a_flipped_bit_is_found_by_the_checksum_beside_the_file(folder: Path, form: str) -> None:
    file = folder / "model.safetensors"
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    if form == "sidecar":
        sidecar = folder / "model.safetensors.sha256"
        sidecar.write_text(f"{digest.upper()}  model.safetensors\n", encoding="utf-8")
    else:
        manifest = folder / "weights.sha256.json"
        manifest.write_text(json.dumps({file.name: digest}), encoding="utf-8")
    assert inspect(folder).checksums == 1
    data = bytearray(file.read_bytes())
    data[-100] ^= 1
    file.write_bytes(data)
    with pytest.raises(WeightsCorruptError, match="does not match its checksum"):
        inspect(folder)


def test_every_refusal_is_one_of_our_errors(folder: Path) -> None:
    """Cut the config at every tenth byte: each cut is refused or read, and never a traceback."""
    file = folder / "config.json"
    whole = file.read_bytes()
    for end in range(0, len(whole), 10):
        file.write_bytes(whole[:end])
        with pytest.raises(OpenAutoGLMError):
            inspect(folder)
