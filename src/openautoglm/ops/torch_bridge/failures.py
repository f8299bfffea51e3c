"""What torch's RuntimeErrors say of a call of ours, read back into our own errors.

On the way through torch's dispatcher an error keeps its text and loses its type. Knows the texts of
the compiled core and of torch; a text it does not know stays as it came.
"""

from __future__ import annotations

import re
from typing import Final

from openautoglm.errors import (
    KernelFailedError,
    OpenAutoGLMError,
    OperatorArgumentError,
    TransformUnsupportedError,
)

_KERNEL: Final = re.compile(
    r"\[OAG204\] (?P<problem>a kernel of `\w+` failed)\n  got: (?P<kind>\w+): (?P<text>.*)",
    re.DOTALL,
)
_BACKEND: Final = re.compile(r"Could not run 'oag::_?(?P<op>\w+)' with arguments from the '(\w+)'")
_NO_BATCHING: Final = re.compile(r"Batching rule not implemented for oag::_?(?P<op>\w+)")
_NO_TRANSFORM: Final = "autograd.Function with functorch transforms"


def read(failure: RuntimeError) -> Exception:
    """Return our error for a failure of torch, or the failure itself."""
    text = str(failure)
    found = _kernel_error(text) or _backend_error(text) or _transform_error(text)
    if found is None:
        return failure
    found.__cause__ = failure
    return found


def _kernel_error(text: str) -> OpenAutoGLMError | None:
    match = _KERNEL.match(text)
    if match is None:
        return None
    problem, _, got = match["text"].partition("\n  got: ")
    if match["kind"] == OperatorArgumentError.__name__:
        return OperatorArgumentError(problem, got=got or None)
    if match["kind"] == KernelFailedError.__name__:
        return KernelFailedError(problem, got=got or None)
    return KernelFailedError(match["problem"], got=f"{match['kind']}: {match['text']}")


def _backend_error(text: str) -> OpenAutoGLMError | None:
    match = _BACKEND.match(text)
    if match is None:
        return None
    return OperatorArgumentError(
        f"`{match['op']}` takes dense tensors on cpu or cuda",
        got=f"a tensor of torch's backend {match[2]}",
        fix="convert it, as with `to_dense()`",
    )


def _transform_error(text: str) -> OpenAutoGLMError | None:
    match = _NO_BATCHING.match(text)
    if match is None and _NO_TRANSFORM not in text:
        return None
    return TransformUnsupportedError(
        "an operator that takes a list of arrays cannot be transformed",
        got="torch.func or torch.vmap over it" if match is None else f"vmap over `{match['op']}`",
        fix="write the list out, or call it outside of the transform",
    )
