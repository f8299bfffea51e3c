"""Which backend runs a model, and why not the others.

Owns `choose`, a pure function: every fact about the machine comes in as an argument.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

HUB_NAME: Final = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
NO_FOLDER: Final = "it is not a folder on this machine"
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
    is_folder: bool = False,
    not_native: str | None = "whether it can run the model was not asked",
) -> Choice:
    """Choose the backend for a model.

    Args:
        model: what the user asked for; None is nothing.
        backend: a name the user insists on, or "auto".
        default_model: `OPENAUTOGLM_MODEL`, used when `model` is None.
        is_folder: whether the model (or the default) is a folder on this machine.
        not_native: why `native` cannot run that folder as asked, None where it can.

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
    refusals = _refusals(model, not_native if is_folder else NO_FOLDER)
    name = next(n for n in ("nano", "openai", "native", "transformers") if n not in refusals)
    return Choice(
        backend=name,
        model=None if name == "nano" else model,
        reason=_reason(name, model, is_folder=is_folder) + origin,
        refused=tuple(refusals.items()),
    )


def _refusals(model: str | None, not_native: str | None) -> dict[str, str]:
    if model is None or (model == "nano" and not_native == NO_FOLDER):
        return {
            "openai": "no URL was given",
            "native": "no folder was given",
            "transformers": "no folder and no model name was given",
        }
    if URL.fullmatch(model):
        return {
            "nano": "a model was named",
            "native": "a URL is not a folder",
            "transformers": "a URL is neither a folder nor a model name",
        }
    refusals = {"nano": "a model was named", "openai": "it is not an http(s) URL"}
    if not_native is None:
        return refusals | {"transformers": "native decodes this folder faster, without torch"}
    return refusals | {"native": not_native}


def _reason(name: str, model: str | None, *, is_folder: bool) -> str:
    if name == "nano":
        return "no model was named" if model is None else "it was asked for by name"
    if name == "openai":
        return "it is the URL of a server"
    if name == "native":
        return "it is a folder on this machine, of a family with operators of our own"
    return "it is a folder on this machine" if is_folder else "it may be a name on the model hub"
