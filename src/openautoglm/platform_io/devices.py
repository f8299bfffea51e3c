"""Devices that a platform has besides processors and graphics cards, as programs may open them.

Owns `Device`, what a driver of `PlatformIO` needs to list its devices, and the names by which Linux
shows those that are known here. Knows nothing of what a device is used for. A device that another
program holds is listed all the same, and one that this user may not open is not.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from openautoglm.platform_io.interface import PlatformIO

CAPTURES: Final = 0x1 | 0x1000
"""Of V4L2's capabilities: pictures come out, in one plane or several."""
QUERY_CAPABILITIES: Final = 0x80685600
"""VIDIOC_QUERYCAP of <linux/videodev2.h>: 104 bytes."""
DEVICE_CAPABILITIES: Final = slice(88, 92)
"""Where `device_caps` stands in these bytes."""

NAMES: Final = (
    ("camera", re.compile(r"(video\d+)")),
    ("microphone", re.compile(r"snd/(pcmC\d+)D\d+c")),
    ("serial", re.compile(r"(tty(?:USB|ACM)\d+)")),
    ("fpga", re.compile(r"(fpga\d+|xdma\d+|(?:dfl|intel-fpga)-fme\.\d+)(?:_control)?")),
    ("edge-tpu", re.compile(r"(apex_\d+)")),
    ("npu", re.compile(r"(hailo\d+)")),
)
"""Kinds by the files below /dev; files whose groups are the same are one device. Accelerators that
Ray counts by itself (GPUs, TPUs, Ascend, Gaudi, Neuron) are not among them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One device.

    Attributes:
        kind: what it is, such as "camera".
        path: what a program opens.
    """

    kind: str
    path: str


@runtime_checkable
class ListsDevices(Protocol):
    """What a driver of `PlatformIO` may do besides; one that does not has no devices."""

    def list_devices(self) -> Sequence[Device]:
        """Return the devices that this process may open."""
        ...


def devices_of(platform: PlatformIO) -> tuple[Device, ...]:
    """Return the devices of a platform, none where its driver lists none."""
    return tuple(platform.list_devices()) if isinstance(platform, ListsDevices) else ()


def recognised(names: Iterable[str], root: str = "/dev") -> tuple[Device, ...]:
    """Return the devices among the names of files below a folder.

    Example:
        >>> [device.kind for device in recognised(["ttyUSB0", "tty0", "snd/pcmC1D0c"])]
        ['microphone', 'serial']
    """
    found: dict[tuple[str, str], Device] = {}
    for name in sorted(names):
        for kind, pattern in NAMES:
            if known := pattern.fullmatch(name):
                found.setdefault((kind, known[1]), Device(kind=kind, path=f"{root}/{name}"))
    return tuple(found.values())


def found_in(root: Path) -> tuple[Device, ...]:
    """Return the devices whose files lie in a folder, that this process may open."""
    names = [entry.name for entry in _entries(root)]
    sounds = [f"snd/{entry.name}" for entry in _entries(root / "snd")]
    listed = recognised([*names, *sounds], os.fspath(root))
    return tuple(device for device in listed if _is_usable(device))


def captures(answer: bytes) -> bool:
    """Whether what a video device says of itself is that pictures come out of it.

    A camera shows several devices, and decoders are video devices as well.
    """
    return bool(int.from_bytes(answer[DEVICE_CAPABILITIES], "little") & CAPTURES)


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError:
        return []


def _is_usable(device: Device) -> bool:
    if not os.access(device.path, os.R_OK):
        return False
    return device.kind != "camera" or _is_camera(device.path)


def _is_camera(path: str) -> bool:
    try:
        import fcntl
    except ImportError:  # no Linux
        return False
    answer = bytearray(104)
    try:
        opened = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        fcntl.ioctl(opened, QUERY_CAPABILITIES, answer)
    except OSError:  # something else of that name
        return False
    finally:
        os.close(opened)
    return captures(bytes(answer))
