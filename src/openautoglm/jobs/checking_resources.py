"""Whether what a worker needs of a machine can be asked of any: `resource_complaints`. Pure.

Names are free, since machines may advertise anything; known ones must be spelled as they are.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from openautoglm.jobs.complaint import Complaint

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

KNOWN: Final = ("CPU", "GPU", "memory")
MISSPELT: Final = {
    **{name.lower(): name for name in KNOWN},
    **{f"num_{name.lower()}s": name for name in ("CPU", "GPU")},
    "cpus": "CPU",
    "gpus": "GPU",
}
DEVICE: Final = "oag-"
"""Begins the names of devices."""


def resource_complaints(resources: Mapping[str, float]) -> Iterator[Complaint]:
    """Say what is wrong with the resources of a job.

    Example:
        >>> [str(each) for each in resource_complaints({"gpu": 1, "oag-camera": 1})]
        ['resources.gpu: there is no such resource (1)']
        >>> [each.problem for each in resource_complaints({"CPU": -1})]
        ['must be 0 or more']
    """
    for name, amount in resources.items():
        problem, fix = _wrong(name, amount)
        if problem:
            yield Complaint(field=f"resources.{name}", problem=problem, got=amount, fix=fix)


def _wrong(name: str, amount: float) -> tuple[str, str]:
    known = MISSPELT.get(name.lower(), name)
    if known != name:
        return "there is no such resource", f"write {known}"
    if not name.removeprefix(DEVICE).strip() or name.startswith("node:"):
        return "it is the name of no resource", f"use {', '.join(KNOWN)} or {DEVICE}camera"
    if not (math.isfinite(amount) and amount >= 0):
        return "must be 0 or more", f"{name}: 1"
    if amount > 1 and amount != int(amount):
        return "must be whole above 1", f"{name}: {math.ceil(amount)}"
    return "", ""
