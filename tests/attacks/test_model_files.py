"""Weights files made to break or to take over who loads them."""

from __future__ import annotations

import io
import json
import os
import pickle
import shutil
import struct
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from openautoglm.engine.model_folder import inspect
from openautoglm.engine.pickle_scan import check_bin
from openautoglm.engine.safetensors_header import read_header
from openautoglm.errors import ModelFolderError, UnsafeWeightsError, WeightsCorruptError

if TYPE_CHECKING:
    from collections.abc import Callable

GOOD = {"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}
IN_PLACE = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def safetensors(header: object, data: bytes = bytes(8), length: int | None = None) -> bytes:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(raw) if length is None else length) + raw + data


def entry(**changes: object) -> dict[str, object]:
    return {"a": GOOD["a"] | changes}


TWO = {
    "a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]},
    "b": {"dtype": "F32", "shape": [2], "data_offsets": [4, 12]},
}
DAMAGED = {
    "empty": b"",
    "seven bytes": bytes(7),
    "header longer than the file": safetensors(GOOD, length=10**6),
    "absurd header length": safetensors(GOOD, length=2**63),
    "header of zero bytes": safetensors(b""),
    "header cut": safetensors(GOOD, b"")[:-4],
    "data cut": safetensors(GOOD, bytes(7)),
    "data too long": safetensors(GOOD, bytes(9)),
    "not JSON": safetensors(b"{"),
    "not UTF-8": safetensors(b"\xff\xff"),
    "a list": safetensors([]),
    "nested deeply": safetensors(b"[" * 200_000),
    "a key twice": safetensors(b'{"a":{},"a":{}}'),
    "an entry that is a number": safetensors({"a": 1}),
    "no dtype": safetensors({"a": {"shape": [2], "data_offsets": [0, 8]}}),
    "an unknown dtype": safetensors(entry(dtype="F99")),
    "a dtype that is a list": safetensors(entry(dtype=["F32"])),
    "a negative size": safetensors(entry(shape=[-2])),
    "a size that is a bool": safetensors(entry(shape=[True, 2])),
    "a huge size": safetensors(entry(shape=[2**62, 2**62])),
    "a wrong size": safetensors(entry(shape=[3])),
    "offsets out of range": safetensors(entry(data_offsets=[8, 16])),
    "offsets reversed": safetensors(entry(data_offsets=[8, 0])),
    "three offsets": safetensors(entry(data_offsets=[0, 4, 8])),
    "offsets as floats": safetensors(entry(data_offsets=[0.0, 8.0])),
    "overlap": safetensors(TWO, bytes(12)),
    "a hole": safetensors(
        {"a": GOOD["a"], "b": {"dtype": "U8", "shape": [1], "data_offsets": [9, 10]}}, bytes(10)
    ),
    "a pointer of Git LFS": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n",
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_safetensors_file_is_refused_with_a_fix(name: str, tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes(DAMAGED[name])
    with pytest.raises(WeightsCorruptError) as caught:
        read_header(file)
    assert caught.value.fix


def test_a_sound_safetensors_file_is_read(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes(safetensors({"__metadata__": {"format": "pt"}, **GOOD}))
    (only,) = read_header(file)
    assert (only.name, only.shape, only.count) == ("a", (2,), 2)


@IN_PLACE
@given(data=st.data())
def test_any_change_to_a_header_is_read_or_refused_and_nothing_else(
    data: st.DataObject, tmp_path: Path
) -> None:
    file = tmp_path / "model.safetensors"
    whole = bytearray(safetensors(TWO, bytes(12)))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    file.write_bytes(whole[: data.draw(st.integers(0, len(whole)))])
    with suppress(WeightsCorruptError):
        read_header(file)


class Evil:
    """Runs a command when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self._mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return os.system, (f"touch {self._mark}",)


def zipped(pickled: bytes, **files: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
        for name, content in files.items():
            archive.writestr(name.replace("__", "/"), content)
    return buffer.getvalue()


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("wrap", [zipped, bytes], ids=["zip", "legacy"])
def test_a_pickle_that_runs_code_is_refused_by_name_and_not_run(
    protocol: int, wrap: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    mark = tmp_path / "ran"
    file = tmp_path / "pytorch_model.bin"
    file.write_bytes(wrap(pickle.dumps({"weight": Evil(mark)}, protocol=protocol)))
    with pytest.raises(UnsafeWeightsError, match=r"imports (posix|nt)\.system"):
        check_bin(file)
    assert not mark.exists()


DISGUISED = {
    "STACK_GLOBAL behind allowed names": (
        b"\x80\x04\x8c\x05posix\x8c\x06system\x8c\x0ctorch._utils\x8c\x12_rebuild_tensor_v200\x93."
    ),
    "STACK_GLOBAL of memo items": (
        b"\x80\x04\x8c\x05posix\x94\x8c\x06system\x940h\x00h\x01\x93\x8c\x02id\x85R."
    ),
    "INST": b"(S'id'\niposix\nsystem\n.",
    "an extension code": b"\x80\x02\x82\x01.",
    "a dotted name": b"\x80\x02ctorch._utils\nos.system\n.",
    "a storage that loads bytes": b"\x80\x02ctorch.storage\n_load_from_bytes\n.",
    "getattr": b"\x80\x02cbuiltins\ngetattr\n.",
}


@pytest.mark.parametrize("name", DISGUISED)
@pytest.mark.parametrize("wrap", [zipped, bytes], ids=["zip", "legacy"])
def test_an_import_in_disguise_is_refused(
    name: str, wrap: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    file = tmp_path / "pytorch_model.bin"
    file.write_bytes(wrap(DISGUISED[name]))
    with pytest.raises(UnsafeWeightsError):
        check_bin(file)


def test_code_in_the_second_pickle_of_a_legacy_file_is_found(tmp_path: Path) -> None:
    file = tmp_path / "pytorch_model.bin"
    file.write_bytes(pickle.dumps(1, 2) + pickle.dumps(Evil(tmp_path / "ran"), 2))
    with pytest.raises(UnsafeWeightsError):
        check_bin(file)


def test_code_in_another_pickle_of_the_archive_is_found(tmp_path: Path) -> None:
    file = tmp_path / "pytorch_model.bin"
    evil = pickle.dumps(Evil(tmp_path / "ran"), 2)
    file.write_bytes(zipped(pickle.dumps({}, 2), archive__constants=b"", other__data=b""))
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("other/more.pkl", evil)
    with pytest.raises(UnsafeWeightsError):
        check_bin(file)


def test_two_files_of_one_name_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "pytorch_model.bin"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({}, 2))
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("archive/data.pkl", pickle.dumps({}, 2))
    with pytest.raises(UnsafeWeightsError, match="two files of one name"):
        check_bin(file)


def test_a_torchscript_program_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "pytorch_model.bin"
    file.write_bytes(zipped(pickle.dumps({}, 2), archive__code__x=b"import os"))
    with pytest.raises(UnsafeWeightsError, match="TorchScript"):
        check_bin(file)


@pytest.mark.parametrize("weights", ["bin", "legacy_bin"])
def test_a_plain_torch_file_passes_and_a_cut_one_does_not(
    weights: str, tiny_model: Callable[..., Path], tmp_path: Path
) -> None:
    source = tiny_model(weights=weights) / "pytorch_model.bin"
    check_bin(source)
    whole = source.read_bytes()
    file = tmp_path / "pytorch_model.bin"
    for end in (0, 1, 10, 100):
        file.write_bytes(whole[:end])
        with pytest.raises(WeightsCorruptError):
            check_bin(file)


def test_a_flipped_bit_in_a_zipped_torch_file_is_found(
    tiny_model: Callable[..., Path], tmp_path: Path
) -> None:
    source = tiny_model(weights="bin") / "pytorch_model.bin"
    with zipfile.ZipFile(source) as archive:
        largest = archive.read(max(archive.infolist(), key=lambda info: info.file_size))
    data = bytearray(source.read_bytes())
    data[data.find(largest) + 100] ^= 1
    file = tmp_path / "pytorch_model.bin"
    file.write_bytes(data)
    with pytest.raises(WeightsCorruptError):
        check_bin(file)


@IN_PLACE
@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused_and_nothing_else(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "pytorch_model.bin"
    for content in (data, b"\x80\x02" + data, zipped(b"\x80\x04" + data)):
        file.write_bytes(content)
        with suppress(WeightsCorruptError, UnsafeWeightsError):
            check_bin(file)


def test_the_folder_is_refused_as_its_file_is(
    tiny_model: Callable[..., Path], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(tiny_model(weights="bin"), tmp_path / "model"))
    evil = zipped(pickle.dumps(Evil(tmp_path / "ran"), 2))
    (folder / "pytorch_model.bin").write_bytes(evil)
    with pytest.raises(UnsafeWeightsError):
        inspect(folder)
    (folder / "pytorch_model.bin").unlink()
    with pytest.raises(ModelFolderError):
        inspect(folder)
