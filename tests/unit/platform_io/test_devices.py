"""Devices are told by the names of their files, and by what they say where names do not tell."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from openautoglm.platform_io import Device, devices_of
from openautoglm.platform_io.devices import captures, recognised
from openautoglm.platform_io.local import LocalIO
from openautoglm.platform_io.memory import MemoryIO

if TYPE_CHECKING:
    from pathlib import Path

    from openautoglm.platform_io import FilePath


def answer(device_capabilities: int) -> bytes:
    """What a video device says of itself, as <linux/videodev2.h> has it."""
    return bytes(88) + device_capabilities.to_bytes(4, "little") + bytes(12)


def test_files_of_devices_are_recognised_and_others_are_not() -> None:
    names = ["ttyACM0", "ttyUSB1", "ttyS0", "null", "xdma0_control", "xdma0_h2c_0", "dfl-fme.0"]
    kinds = [(each.kind, each.path) for each in recognised([*names, "apex_0", "hailo0"])]
    assert kinds == [
        ("edge-tpu", "/dev/apex_0"),
        ("fpga", "/dev/dfl-fme.0"),
        ("npu", "/dev/hailo0"),
        ("serial", "/dev/ttyACM0"),
        ("serial", "/dev/ttyUSB1"),
        ("fpga", "/dev/xdma0_control"),
    ]


def test_a_sound_card_with_several_inputs_is_one_microphone() -> None:
    names = ["snd/pcmC0D0c", "snd/pcmC0D2c", "snd/pcmC0D0p", "snd/pcmC1D0c", "snd/controlC0"]
    assert [each.path for each in recognised(names)] == ["/dev/snd/pcmC0D0c", "/dev/snd/pcmC1D0c"]


def test_of_the_devices_of_a_camera_the_one_that_gives_pictures_counts() -> None:
    assert captures(answer(0x04200001))
    assert captures(answer(0x04201000))
    assert not captures(answer(0x04A00000))  # its metadata
    assert not captures(answer(0x04204000))  # a decoder: frames in, pictures out


def test_the_operating_systems_devices_are_those_in_its_folder(tmp_path: Path) -> None:
    (tmp_path / "snd").mkdir()
    for name in ("ttyUSB0", "snd/pcmC0D0c", "video0", "sda"):
        (tmp_path / name).touch()

    found = devices_of(LocalIO(devices=tmp_path))

    assert [each.kind for each in found] == ["microphone", "serial"], "a plain file is no camera"
    assert devices_of(LocalIO(devices=tmp_path / "none")) == ()


def test_a_platform_in_memory_has_the_devices_it_was_given() -> None:
    camera = Device(kind="camera", path="/dev/video0")
    assert devices_of(MemoryIO(devices=[camera])) == (camera,)


@final
class FilesAlone:
    """A driver that was written without devices in mind."""

    def read_file(self, path: FilePath) -> bytes:
        raise NotImplementedError

    def write_file(self, path: FilePath, data: bytes) -> None:
        raise NotImplementedError

    def get_env(self, key: str, default: str = "") -> str:
        return key + default


def test_a_driver_that_lists_none_has_none() -> None:
    assert devices_of(FilesAlone()) == ()
