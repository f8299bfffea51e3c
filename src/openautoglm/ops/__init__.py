"""Operators: one contract, many kernels, chosen by the call and replaced while running."""
