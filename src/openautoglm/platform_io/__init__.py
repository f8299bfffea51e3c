"""Files and environment behind one interface, whatever the program runs on.

Owns `PlatformIO` and its drivers: `local`, `memory`, `emscripten`, `wasi`; one file each, imported
only when chosen. Knows nothing of what the files hold. It does not lock: where two processes write
one file, the last whole write wins.
"""

from openautoglm.platform_io.detection import (
    Choice,
    Driver,
    Facts,
    add_driver,
    choose,
    detect,
    explain,
    forget,
    remove_driver,
    revoke_drivers,
)
from openautoglm.platform_io.devices import Device, ListsDevices, devices_of
from openautoglm.platform_io.interface import FilePath, PlatformIO

__all__ = [
    "Choice",
    "Device",
    "Driver",
    "Facts",
    "FilePath",
    "ListsDevices",
    "PlatformIO",
    "add_driver",
    "choose",
    "detect",
    "devices_of",
    "explain",
    "forget",
    "remove_driver",
    "revoke_drivers",
]
