"""How near operators come to a GPU's memory speed, by size, beside torch and torch.compile."""

from __future__ import annotations

import torch

from operators import need_cuda
from ops_bandwidth import measure, notes
from timing import report


def main() -> None:
    """Measure and report, or say why not."""
    need_cuda()
    here = f"{torch.cuda.get_device_name()}. "
    report("Operators by size on a GPU", measure("cuda"), notes=here + notes("cuda"))


if __name__ == "__main__":
    main()
