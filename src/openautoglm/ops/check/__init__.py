"""Whether an operator keeps its contract: every kernel against the reference, gradients, graphs.

`check` is also what calling this module does, so that `openautoglm.ops.check(...)` is a call
whether or not the module was imported before.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from openautoglm.ops.check.report import CheckReport, CheckRow
from openautoglm.settings import need

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from openautoglm.ops.check.plan import Profile
    from openautoglm.ops.registered import RegisteredOperator

__all__ = ["CheckReport", "CheckRow", "check"]


def check(  # noqa: PLR0913 - each is one thing to leave out, by name
    op: RegisteredOperator | str | Path,
    *,
    kernels: str | Sequence[str] = "all",
    grad: bool = True,
    dtypes: Sequence[str] | None = None,
    tolerances: Mapping[str, float] | None = None,
    seed: int = 0,
    profile: Profile = "full",
    sanitize: bool = False,
) -> CheckReport:
    """Check an operator and return what was found; nothing is raised for what fails.

    Args:
        op: an operator, its name, or a path: a .py file that defines operators, a folder of .py
            files and kernel sources, or a built library.
        kernels: `all`, or names of kernels or libraries.
        grad: whether gradients are checked.
        dtypes: of the first input; all that the operator takes where none are given.
        tolerances: the largest relative error by dtype, for those that are not to have the usual.
        seed: all values follow from it.
        profile: `full`, or `quick` for every push: fewer samples, and graphs that are traced but
            not compiled to machine code.
        sanitize: build sources with AddressSanitizer and check their kernels under it.

    Raises:
        UnknownNameError: there is no such operator, kernel or path.
        BuildFailedError: sources do not compile.
        LibraryRefusedError: a library would do harm.
        MissingExtraError: NumPy is not installed.

    Example:
        >>> from openautoglm.ops.check import check
        >>> report = check("scale_add", dtypes=["f32"], profile="quick", grad=False)
        >>> report.ok
        True
    """
    need("numpy", extra="ops", why="checking operators")
    from openautoglm.ops.check.checking import run_check
    from openautoglm.ops.check.oracle import TOLERANCES
    from openautoglm.ops.check.plan import Plan

    names = () if kernels == "all" else (kernels,) if isinstance(kernels, str) else tuple(kernels)
    plan = Plan(
        kernels=names,
        grad=grad,
        dtypes=tuple(dtypes or ()),
        tolerances={**TOLERANCES, **(tolerances or {})},
        seed=seed,
        profile=profile,
    )
    if sanitize:
        from openautoglm.ops.check.sanitized import run_sanitized

        return run_sanitized(op, plan)
    return run_check(op, plan)


class _CallableModule(ModuleType):
    """This module: importing a package puts it where `ops` exports the function of its name."""

    def __call__(self, *args: Any, **options: Any) -> CheckReport:  # noqa: ANN401 - those of `check`
        return check(*args, **options)


sys.modules[__name__].__class__ = _CallableModule
