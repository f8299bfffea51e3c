"""What a node offers besides processors and graphics cards, as Ray counts it, such as `oag-camera`.

Owns the names of these resources and which amounts they may have. Knows nothing of Ray itself,
which finds processors, memory, GPUs and other accelerators without us.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from openautoglm.errors import InvalidParameterError
from openautoglm.platform_io import detect, devices_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from openautoglm.platform_io import Device

PREFIX: Final = "oag-"
OF_RAY: Final[Mapping[str, str]] = {
    "CPU": "--num-cpus",
    "GPU": "--num-gpus",
    "memory": "--memory",
    "object_store_memory": "--object-store-memory",
}
"""What Ray counts by itself, and the option of `ray start` that says otherwise."""


def advertised(more: Iterable[str] = (), devices: Iterable[Device] | None = None) -> dict[str, int]:
    """Return the resources of a node, for `ray start --resources`.

    Args:
        more: `NAME=AMOUNT` each, of what cannot be found or was counted wrong; 0 leaves one out.
        devices: those there are; None asks this machine.

    Raises:
        InvalidParameterError: one cannot be read, or Ray counts it by itself.

    Example:
        >>> from openautoglm.platform_io import Device
        >>> advertised(["scale=1"], [Device(kind="camera", path="/dev/video0")])
        {'oag-camera': 1, 'scale': 1}
    """
    found = devices_of(detect()) if devices is None else devices
    counted = Counter(f"{PREFIX}{device.kind}" for device in found)
    named = dict(map(_read, more))
    return {name: amount for name, amount in sorted({**counted, **named}.items()) if amount}


def _read(text: str) -> tuple[str, int]:
    name, equals, amount = (part.strip() for part in text.partition("="))
    if not (name and equals and amount.isdecimal() and amount.isascii()):
        raise InvalidParameterError(
            "a resource is a name and a whole number", got=text, fix=f"as in {PREFIX}camera=2"
        )
    if option := OF_RAY.get(name):
        raise InvalidParameterError(
            f"Ray counts `{name}` by itself", got=text, fix=f"pass it on: -- {option}={amount}"
        )
    if name.startswith("node:"):
        raise InvalidParameterError(
            "Ray gives such names to nodes", got=text, fix="choose another name"
        )
    return name, int(amount)
