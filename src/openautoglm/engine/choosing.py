"""Which backend runs a model, and why not the others.

Owns `choose`, a pure function: every fact about the machine comes in as an argument.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

HUB_NAME: Final = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
NO_FOLDER: Final = "it is not a folder on this machine"
NOT_ASKED: Final = "whether it can run the model was not asked"
ORDER: Final = ("nano", "openai", "gguf", "native", "vllm", "transformers")
"""The one that does best what it can do comes first."""
NOTHING_NAMED: Final = {
    "openai": "no URL was given",
    "gguf": "no file was given",
    "native": "no folder was given",
    "vllm": "no folder was given",
    "transformers": "no folder and no model name was given",
}
BETTER: Final = {
    "native": "native decodes this folder faster on this machine, without torch",
    "vllm": "vllm decodes this folder faster on this machine's GPU",
}
REASONS: Final = {
    "openai": "it is the URL of a server",
    "gguf": "it is a GGUF file",
    "native": "it is a folder on this machine, of a family with operators of our own",
    "vllm": "it is a folder on this machine, which has a GPU and vllm",
    "transformers": "it is a folder on this machine",
}
Kind = Literal["folder", "gguf", "other"]
"""What a model's name stands for on this machine."""
URL: Final = re.compile(r"https?://\S+", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The backend that was chosen.

    Attributes:
        backend: its name.
        model: what it is to load; None is its own model.
        reason: why it was chosen.
        refused: each other backend and why it was not.
    """

    backend: str
    model: str | None
    reason: str
    refused: tuple[tuple[str, str], ...] = ()


def choose(
    model: str | None,
    *,
    backend: str = "auto",
    default_model: str | None = None,
    kind: Kind = "other",
    not_native: str | None = NOT_ASKED,
    not_vllm: str | None = NOT_ASKED,
) -> Choice:
    """Choose the backend for a model.

    Args:
        model: what the user asked for; None is nothing.
        backend: a name the user insists on, or "auto".
        default_model: `OPENAUTOGLM_MODEL`, used when `model` is None.
        kind: what the model (or the default) is on this machine.
        not_native: why `native` cannot run that folder as asked, None where it can.
        not_vllm: why `vllm` cannot, None where it can.

    Example:
        >>> choose(None).backend
        'nano'
        >>> choose("http://127.0.0.1:8000/v1").reason
        'it is the URL of a server'
    """
    if backend != "auto":
        wanted = model if model is not None or backend == "nano" else default_model
        return Choice(backend=backend, model=wanted, reason="it was asked for by name")
    origin = ""
    if model is None and default_model is not None:
        model, origin = default_model, " (from OPENAUTOGLM_MODEL)"
    refusals = _refusals(model, kind, {"native": not_native, "vllm": not_vllm})
    name = next(n for n in ORDER if n not in refusals)
    return Choice(
        backend=name,
        model=None if name == "nano" else model,
        reason=_reason(name, model, kind) + origin,
        refused=tuple(refusals.items()),
    )


def _refusals(
    model: str | None, kind: Kind, reasons: Mapping[str, str | None]
) -> Mapping[str, str]:
    """Return why not, by backend: of all that would not do, and of those behind the first."""
    if model is None or (model == "nano" and kind == "other"):
        return NOTHING_NAMED
    if URL.fullmatch(model):
        return _all_but("openai", "a model was named", "a URL is no folder, file or name")
    if kind == "gguf":
        return _all_but("gguf", "a model was named", "a GGUF file is for llama.cpp")
    refusals = {
        "nano": "a model was named",
        "openai": "it is not an http(s) URL",
        "gguf": "it is no GGUF file",
    }
    for name in ("native", "vllm"):
        reason = reasons[name] if kind == "folder" else NO_FOLDER
        if reason is None:
            better = [n for n in ORDER if n not in refusals and n != name]
            return refusals | dict.fromkeys(better, BETTER[name])
        refusals[name] = reason
    return refusals


def _all_but(name: str, not_nano: str, otherwise: str) -> Mapping[str, str]:
    return {n: not_nano if n == "nano" else otherwise for n in ORDER if n != name}


def _reason(name: str, model: str | None, kind: Kind) -> str:
    if name == "nano":
        return "no model was named" if model is None else "it was asked for by name"
    if name == "transformers" and kind == "other":
        return "it may be a name on the model hub"
    return REASONS[name]
