"""Text of a file to a checked value: limits, syntax, types, and an error that names the place.

Owns the limits and the wording of `PluginManifestError`. Knows nothing of what the values mean.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from typing import TYPE_CHECKING, Final, TypeVar, get_args

import msgspec

from openautoglm.errors import PluginManifestError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

T = TypeVar("T")

MAX_BYTES: Final = 1 << 20  # of one manifest or pyproject.toml: the largest real ones are 100 kB
MAX_SHOWN: Final = 80
_WORDS: Final = {
    "str": "a text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "array": "a list",
    "object": "a table",
    "null": "nothing",
}


def read_bytes(path: Path) -> bytes:
    """Return the content of a small file.

    Raises:
        PluginManifestError: it is not there, not readable, or larger than `MAX_BYTES`.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as cause:
        why = cause.strerror if isinstance(cause, OSError) else str(cause)
        raise PluginManifestError(
            f"{shown(str(path))} cannot be read",
            got=why,
            fix="name the folder of the plugin's project, which holds a pyproject.toml",
        ) from cause
    return limited(data, str(path))


def limited(data: bytes, file: str) -> bytes:
    """Return the data, unless it is larger than any manifest."""
    if len(data) > MAX_BYTES:
        raise PluginManifestError(
            f"{file} is larger than a manifest can be",
            got=f"more than {MAX_BYTES} bytes",
            fix="keep large tables in files of their own",
        )
    return data


def parse_toml(data: bytes, file: str) -> dict[str, object]:
    """Return the tables of a TOML file.

    Raises:
        PluginManifestError: it is not UTF-8 or not TOML; the message names the line.
    """
    try:
        return tomllib.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError) as cause:
        raise PluginManifestError(
            f"{file} is not TOML", got=shown(str(cause)), fix="correct the line that is named"
        ) from cause


def parse_json(data: bytes, file: str) -> object:
    """Return the value of a JSON file; errors as `parse_toml`."""
    try:
        value: object = msgspec.json.decode(limited(data, file))
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as cause:
        raise PluginManifestError(
            f"{file} is not JSON", got=shown(str(cause)), fix="pack the plugin again"
        ) from cause
    return value


def convert(value: object, kind: type[T], file: str, *, at: str, fixes: Mapping[str, str]) -> T:
    """Return plain tables and values as a `kind`, a frozen struct.

    Args:
        value: what `parse_toml` or `parse_json` gave.
        kind: the struct to make; unknown keys are refused.
        file: named in errors.
        at: key path of `value` in the file, put before the path inside it.
        fixes: what to do about a wrong value, by the last key of its path.

    Raises:
        PluginManifestError: a key is missing, unknown, or its value of a wrong type or range.
    """
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as cause:
        if isinstance(cause.__cause__, PluginManifestError):
            told = cause.__cause__
            raise PluginManifestError(
                f"{file}: {told.problem}", got=told.got, fix=told.fix
            ) from cause
        raise _explained(cause, value, kind, (file, at), fixes) from cause


def _explained(
    cause: msgspec.ValidationError,
    value: object,
    kind: type,
    where: tuple[str, str],
    fixes: Mapping[str, str],
) -> PluginManifestError:
    said, _, place = str(cause).partition(" - at `")
    path = place[place.rindex("$") + 1 :].rstrip("`") if "$" in place else ""  # or: key` in `$.x
    file, at = where
    unknown = re.match(r"Object contains unknown field `(.*)`", said)
    missing = re.match(r"Object missing required field `(.*)`", said)
    if unknown is not None:
        name = unknown[1]
        near = difflib.get_close_matches(name, _keys(kind, path), n=1)
        fix = f"did you mean `{near[0]}`?" if near else f"known: {', '.join(_keys(kind, path))}"
        return PluginManifestError(
            f"{file}: unknown key `{shown(name)}` in `{at}{path}`", got=shown(name), fix=fix
        )
    if missing is not None:
        return PluginManifestError(
            f"{file}: `{at}{path}` lacks the key `{missing[1]}`",
            fix=fixes.get(missing[1], f"add `{missing[1]}`"),
        )
    last = re.findall(r"[\w-]+", re.sub(r"\[[^]]*\]", "", path))
    return PluginManifestError(
        f"{file}: `{at}{path}` is not what it should be: {_plain(said)}",
        got=shown(_value_at(value, path)),
        fix=fixes.get(last[-1] if last else "", "correct the value"),
    )


def _plain(said: str) -> str:
    """Say msgspec's sentence in words of TOML, without the regular expression in it."""
    said = re.sub(r"`str` matching regex .*", "a text of another form", said)
    for python, plain in _WORDS.items():
        said = said.replace(f"`{python}`", plain)
    return said[:1].lower() + said[1:]


def _keys(kind: type, path: str) -> tuple[str, ...]:
    """Return the keys the struct at a path may have; msgspec's paths name lists as `[0]`."""
    for name in re.findall(r"\.([\w-]+)", path):
        fields = {field.encode_name: field.type for field in msgspec.structs.fields(kind)}
        inner = tuple(_structs(fields.get(name)))
        if not inner:
            return ()
        kind = inner[0]
    return tuple(field.encode_name for field in msgspec.structs.fields(kind))


def _structs(hint: object) -> Iterator[type[msgspec.Struct]]:
    """Yield the structs named anywhere in a type hint."""
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        yield hint
    for inner in get_args(hint):
        yield from _structs(inner)


def _value_at(value: object, path: str) -> object:
    for key, index in re.findall(r"\.([\w-]+)|\[(\d+)\]", path):
        try:
            value = value[key] if isinstance(value, dict) else value[int(index)]  # type: ignore[index] # the path came from msgspec; what does not fit ends below
        except (LookupError, TypeError, ValueError):
            return value
    return value


def shown(value: object) -> str:
    """Return a value as an error shows it: short, on one line, printable."""
    text = value if isinstance(value, str) else repr(value)
    text = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text[: MAX_SHOWN * 2])
    return text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 1] + "…"
