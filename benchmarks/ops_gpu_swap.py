"""What replacing a library of CUDA kernels costs while calls run, and whether results are right."""

from __future__ import annotations

import torch

from operators import need_cuda
from ops_swap import NOTES, measure
from timing import report


def main() -> None:
    """Measure and report, or say why not."""
    need_cuda()
    title = "Replacing a library of CUDA kernels while it is called"
    report(title, measure("cuda"), notes=f"{torch.cuda.get_device_name()}. {NOTES}")


if __name__ == "__main__":
    main()
