"""The rows of `ops.check` as findings with consequence and fix, for operators and for kernels.

Owns `operator_suite` and `kernel_suite`. What is asked, and how, is `ops.check`'s.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from openautoglm.errors import OpenAutoGLMError
from openautoglm.ops import Kernel, LoadedLibrary, catalog
from openautoglm.ops.check import check
from openautoglm.plugins.kernels import KERNELS
from openautoglm.plugins.report import Finding
from openautoglm.registry import owned_by
from openautoglm.testing.suite import contribution_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from openautoglm.ops.check.report import CheckRow
    from openautoglm.ops.registered import RegisteredOperator

OWNER: Final = "openautoglm.testing.operator_suite"


def operator_suite(
    factory: Callable[[], object], options: Mapping[str, object]
) -> Iterator[Finding]:
    """Check an operator, or the library that states it.

    Args:
        factory: returns the operator, or the path of a library or of its sources.
        options: of `ops.check`: `profile` ("full" or "quick"), `dtypes`, `grad`, `seed`.
    """
    contribution = contribution_of("operator", options)
    yield from _findings("operator", factory, options, contribution, ())


def kernel_suite(factory: Callable[[], object], options: Mapping[str, object]) -> Iterator[Finding]:
    """Check a kernel beside those its operator has, or a library.

    Args:
        factory: returns an `ops.Kernel`, a library that is loaded, or the path of one or of its
            sources.
        options: as for `operator_suite`.
    """
    contribution = contribution_of("kernel", options)
    try:
        value = factory()
    except Exception as cause:  # noqa: BLE001 - whatever a plugin raises is a finding
        yield _broken("kernel", cause, contribution)
        return
    if isinstance(value, LoadedLibrary):
        value = value.path
    if not isinstance(value, Kernel):
        yield from _findings("kernel", lambda: value, options, contribution, ())
        return
    name = f"{value.name}.checked"
    try:
        with owned_by(OWNER):
            KERNELS.add(name, value)
        operator = catalog.get(value.op)
    except Exception as cause:  # noqa: BLE001 - as above
        yield _broken("kernel", cause, contribution)
        return
    try:
        yield from _findings("kernel", lambda: operator, options, contribution, (name,))
    finally:
        KERNELS.revoke(OWNER)


def _findings(
    point: str,
    factory: Callable[[], object],
    options: Mapping[str, object],
    contribution: str,
    kernels: Sequence[str],
) -> Iterator[Finding]:
    try:
        report = check(
            cast("RegisteredOperator | Path", factory()),
            kernels=kernels or "all",
            grad=bool(options.get("grad", True)),
            dtypes=cast("Sequence[str] | None", options.get("dtypes")),
            seed=int(cast("int", options.get("seed", 0))),
            profile="quick" if options.get("profile") == "quick" else "full",
        )
    except Exception as cause:  # noqa: BLE001 - whatever a plugin raises is a finding
        yield _broken(point, cause, contribution)
        return
    for row in report.rows:
        yield _finding(point, row, contribution)


def _finding(point: str, row: CheckRow, contribution: str) -> Finding:
    consequence, fix = _WORDS.get(row.row, _OTHER)
    fails = row.status == "fail"
    parts = [f"{row.op}/{row.subject}"]
    if row.cases:
        parts.append(f"{row.cases} calls")
    parts += [part for part in (row.problem, row.example) if part]
    return Finding(
        row=f"{point}.{row.row.replace(' ', '_')}",
        status=row.status,
        measured=", ".join(parts),
        threshold="as the contract says",
        consequence=consequence if fails else "",
        fix=fix if fails else "",
        contribution=contribution,
    )


def _broken(point: str, cause: Exception, contribution: str) -> Finding:
    said = cause.problem if isinstance(cause, OpenAutoGLMError) else str(cause)
    fix = cause.fix if isinstance(cause, OpenAutoGLMError) else None
    return Finding(
        row=f"{point}.loads",
        status="fail",
        measured=f"{type(cause).__name__}: {said}",
        threshold="it can be loaded and called",
        consequence="no call can be served by it",
        fix=fix or "correct what is named",
        contribution=contribution,
    )


_OTHER: Final = ("calls go wrong", "call it with the input that is shown")
_WRONG: Final = ("models compute wrong numbers without a word", "call it with the input shown")
_GRADIENT: Final = ("training goes in a wrong direction", "derive `backward` again")
_WORDS: Final[Mapping[str, tuple[str, str]]] = {
    **dict.fromkeys(
        ("reference", "values", "broadcast", "strides", "aliasing", "optional", "lists"), _WRONG
    ),
    **dict.fromkeys(("gradient", "second gradient"), _GRADIENT),
    **dict.fromkeys(
        ("compiled", "compiled gradient", "opcheck", "vmap"),
        ("compiled models differ from eager ones", "let `infer` say what the kernels return"),
    ),
    **dict.fromkeys(
        ("autocast", "autocast compiled"),
        ("mixed precision loses digits", "say the policy in `amp`"),
    ),
    **dict.fromkeys(
        ("inputs", "bounds"),
        ("other tensors change at a distance", "write to `out` only, and inside it"),
    ),
    **dict.fromkeys(
        ("shape", "shapes", "dtype"),
        ("calls raise, or later operators do", "declare the outputs as they are made"),
    ),
    **dict.fromkeys(
        ("nan", "infinity"),
        ("a broken model looks healthy", "let NaN and infinity go through"),
    ),
    **dict.fromkeys(
        ("determinism", "threads"),
        ("the same input gives several outputs", "keep no state between calls"),
    ),
    "survives": ("the process dies or hangs", "handle empty arrays and every size"),
    "memory": ("a service runs out of memory", "free what a call takes"),
    "attributes": ("settings at the ends of what is allowed go wrong", "narrow the attribute"),
}
