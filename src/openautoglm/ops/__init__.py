"""Operators: one contract, many kernels, chosen by the call and replaced while running.

`define` and `@register` make an operator, `get` finds one, `operator.kernel` adds a kernel,
`operator.explain` says which kernel would serve a call and why, `load_library` brings compiled
ones.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from openautoglm.ops import catalog
from openautoglm.ops.arguments import REQUIRED, ArraySpec, Attr, In, Out
from openautoglm.ops.authoring import Operator
from openautoglm.ops.catalog import (
    OPERATORS,
    define,
    get,
    names,
    register,
    remove,
    replace,
    rollback,
)
from openautoglm.ops.dispatch import KernelRun, watching
from openautoglm.ops.explain import Explanation
from openautoglm.ops.kernel import Capability, Kernel
from openautoglm.ops.loading import LoadedLibrary, SwapReport, load_library
from openautoglm.ops.opdef import Backward, OpDef
from openautoglm.ops.precision import PolicyTable
from openautoglm.ops.registered import RegisteredOperator

if TYPE_CHECKING:
    from openautoglm.ops.check import check
    from openautoglm.registry import Registry

__all__ = [
    "OPERATORS",
    "REQUIRED",
    "ArraySpec",
    "Attr",
    "Backward",
    "Capability",
    "Explanation",
    "In",
    "Kernel",
    "KernelRun",
    "LoadedLibrary",
    "OpDef",
    "Operator",
    "Out",
    "PolicyTable",
    "RegisteredOperator",
    "SwapReport",
    "check",
    "define",
    "get",
    "load_library",
    "names",
    "register",
    "remove",
    "replace",
    "rollback",
    "watching",
]


def _add_builtins(registry: Registry[RegisteredOperator]) -> None:
    from openautoglm.ops.library import add_all

    add_all(registry)


def __getattr__(name: str) -> object:
    if name == "check":  # it needs NumPy, which nothing else here does at import
        return import_module("openautoglm.ops.check")
    raise AttributeError(f"module 'openautoglm.ops' has no attribute {name!r}")


catalog.on_first_look(_add_builtins)
