"""The fingerprint of what an operator promises: equal fingerprints, one contract.

A function is known by its code: instructions, constants, names, defaults and the plain values it
closes over. Does not follow global names, so a change in a function it calls goes unnoticed; one
fingerprint is comparable within one version of Python.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import partial
from types import CodeType, FunctionType, MethodType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

PLAIN = (type(None), bool, int, float, complex, str, bytes, type(...))


def contract_hash(parts: Mapping[str, object]) -> str:
    """Return the sha256, in hex, of the canonical JSON of an operator's parts.

    Example:
        >>> contract_hash({"a": 1, "b": 2}) == contract_hash({"b": 2, "a": 1})
        True
    """
    text = json.dumps(_described(parts, ()), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _described(value: object, within: tuple[int, ...]) -> object:
    if isinstance(value, PLAIN):
        return value if isinstance(value, str) else [type(value).__name__, repr(value)]
    if isinstance(value, Mapping):
        return {str(key): _described(item, within) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_described(item, within) for item in value]
    if isinstance(value, frozenset):
        return ["set", *sorted(json.dumps(_described(item, within)) for item in value)]
    return _code_or_name(value, within)


def _code_or_name(value: object, within: tuple[int, ...]) -> object:
    if isinstance(value, CodeType):
        return _code(value, within)
    if callable(value) and not isinstance(value, type):
        return _function(value, within)
    return _named(value)


def _function(value: Callable[..., object], within: tuple[int, ...]) -> object:
    if id(value) in within:  # a function that closes over itself
        return "itself"
    inside = (*within, id(value))
    if isinstance(value, MethodType):
        return ["method", _named(value.__self__), _described(value.__func__, inside)]
    if isinstance(value, partial):
        parts = (value.func, value.args, value.keywords)
        return ["partial", _described(parts, inside)]
    if not isinstance(value, FunctionType):
        return _named(value)
    closure = [_cell(cell, inside) for cell in value.__closure__ or ()]
    defaults = _described((value.__defaults__, value.__kwdefaults__), inside)
    return ["function", _code(value.__code__, inside, value.__doc__), defaults, closure]


def _code(code: CodeType, within: tuple[int, ...], doc: str | None = None) -> object:
    constants: Sequence[object] = code.co_consts
    if doc is not None and constants[:1] == (doc,):
        constants = (None, *constants[1:])
    return ["code", code.co_code.hex(), _described(list(constants), within), list(code.co_names)]


def _cell(cell: object, within: tuple[int, ...]) -> object:
    try:
        content: object = cell.cell_contents  # type: ignore[attr-defined] # typed as object: CellType has no public constructor
    except ValueError:  # not filled yet
        return "empty"
    return _described(content, within)


def _named(value: object) -> object:
    named = value if hasattr(value, "__qualname__") else type(value)
    return ["named", getattr(named, "__module__", ""), getattr(named, "__qualname__", "")]
