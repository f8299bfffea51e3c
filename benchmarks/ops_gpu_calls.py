"""What a call of an operator costs on a GPU, where the call is a launch."""

from __future__ import annotations

import torch

import call_costs as cost
from operators import has_kernel, native_add, need_cuda, skip
from ops_calls import Arrays, all_cases, notes
from timing import report


def main() -> None:
    """Measure and report, or say why not."""
    need_cuda()
    if not has_kernel(native_add("cuda"), "cuda"):
        skip("no CUDA kernels: neither the package nor the plugin was built with nvcc")
    torch.set_num_threads(1)
    torch.manual_seed(0)
    arrays = Arrays("cuda")
    found, left_out = all_cases(arrays, "cuda")
    rows = cost.table(found, cost.costs(found, settle=torch.cuda.synchronize))
    here = f"{torch.cuda.get_device_name()}; the aims are those of the CPU. "
    report("A call of an operator on a GPU", rows, notes=here + notes("cuda", left_out))


if __name__ == "__main__":
    main()
