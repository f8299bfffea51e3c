"""An operator: the kernels beside this file."""
