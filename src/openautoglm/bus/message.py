"""What travels on the bus: `Message`, and its form on the wire, CloudEvents 1.0 in structured JSON.

Knows nothing of who may send what, nor of how a message is delivered.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
import secrets
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import count
from typing import Final, NoReturn

import msgspec

from openautoglm.bus.names import check_source, check_type
from openautoglm.bus.words import shown
from openautoglm.errors import MessageError

JSON_TYPE: Final = "application/json"
MAX_MESSAGE_BYTES: Final = 1 << 20  # on the wire; what is larger travels by reference
MAX_ID: Final = 256

_EXTENSION: Final = re.compile(r"[a-z0-9]{1,20}")
_TIME: Final = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(?:\.(\d+))?([Zz]|[+-]\d\d:\d\d)", re.ASCII
)
_TEXTS: Final = ("subject", "datacontenttype", "dataschema", "dataref")
_KNOWN: Final = frozenset(
    {"specversion", "id", "source", "type", "time", "data", "payload", "data_base64", *_TEXTS}
)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_prefix: Final = [""]
_numbers: Final = count()


def _python_id() -> str:
    return f"{_prefix[0]}-{next(_numbers):x}"


def _begin_python_ids(prefix: str) -> None:
    _prefix[0] = prefix


_begin_ids: Callable[[str], None] = _begin_python_ids
_next_id: Callable[[], str] = _python_id
with suppress(ImportError):  # built without a compiler or Python's headers, or not for this Python
    from openautoglm.bus import direct

    _begin_ids, _next_id = direct.begin_ids, direct.next_id


def _new_ids() -> None:
    """Take a prefix that no other process has: at import, and in the child of a fork."""
    _begin_ids(secrets.token_hex(8))


_new_ids()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_new_ids)


# gc=False: messages live short and many, and a frozen one is in a cycle only if its own payload
# is made to hold it afterwards, which would leak it.
class Message(msgspec.Struct, frozen=True, gc=False):
    """One event: what happened, who says so, and what belongs to it.

    A payload is handed to all subscribers of a process as it is, not copied: treat it as
    read-only. Build one with `Message(...)`, read one from outside with `from_json`.

    Attributes:
        type: what happened, such as `config.update`.
        source: who says so; on a bus, the name of the channel it came through.
        payload: JSON values, or bytes; `data` on the wire and in CloudEvents.
        id: unique among the messages of its source.
        time_ns: when it was made, nanoseconds since 1970 UTC.
        subject: what of the source it is about.
        dataref: where the payload lies if it does not travel along, such as a tensor in a shared
            arena; the bus never looks into it.
        datacontenttype: media type of the payload; None is JSON, or bytes.
        dataschema: address of the payload's schema.
        extensions: further CloudEvents attributes, lower-case letters and digits.

    Example:
        >>> Message("config.update", "plugin.auth", {"timeout": 3000}).data
        {'timeout': 3000}
    """

    type: str
    source: str
    payload: object = None
    id: str = msgspec.field(default_factory=_next_id)
    time_ns: int = msgspec.field(default_factory=time.time_ns)
    subject: str | None = None
    dataref: str | None = None
    datacontenttype: str | None = None
    dataschema: str | None = None
    extensions: Mapping[str, str | int | bool] | None = None

    @property
    def data(self) -> object:
        """The payload, by its name in CloudEvents."""
        return self.payload

    @property
    def time(self) -> datetime:
        """When it was made, to the microsecond, in UTC."""
        return _EPOCH + timedelta(microseconds=self.time_ns // 1000)

    def to_json(self) -> bytes:
        """Return the message as CloudEvents 1.0 structured JSON.

        Infinity and NaN, which JSON has not, are written as null.

        Raises:
            MessageError: an attribute is not what CloudEvents allows, the payload is no JSON
                value, or the whole is larger than `MAX_MESSAGE_BYTES`.
        """
        check(self)
        wire: dict[str, object] = {
            "specversion": "1.0",
            "id": self.id,
            "source": self.source,
            "type": self.type,
            "time": _time_text(self.time_ns),
        }
        wire.update((name, value) for name in _TEXTS if (value := getattr(self, name)) is not None)
        wire.update(self.extensions or {})
        if isinstance(self.payload, bytes | bytearray | memoryview):
            wire["data_base64"] = base64.b64encode(bytes(self.payload)).decode("ascii")
        elif self.payload is not None:
            wire["data"] = self.payload
        return _limited(_encode(wire, self))

    @classmethod
    def from_json(cls, text: bytes | str) -> Message:
        """Read CloudEvents 1.0 structured JSON; `payload` is taken for `data`.

        Raises:
            MessageError: it is none; the message names the attribute.
        """
        given = text.encode(errors="surrogatepass") if isinstance(text, str) else text
        wire = {n: v for n, v in _decode(_limited(given)).items() if v is not None}  # null is unset
        if wire.get("specversion", "1.0") != "1.0":
            _refuse("`specversion` is not 1.0", wire["specversion"], "send CloudEvents 1.0")
        for name in ("id", "source", "type"):
            if name not in wire:
                _refuse(f"a message has no `{name}`", ", ".join(map(repr, wire)), f"add `{name}`")
        fields: dict[str, object] = {
            name: wire[name] for name in ("type", "source", "id", *_TEXTS) if name in wire
        }
        fields["payload"] = _payload(wire)
        fields["extensions"] = {n: v for n, v in wire.items() if n not in _KNOWN} or None
        if "time" in wire:
            fields["time_ns"] = _time_ns(wire["time"])
        try:
            message = msgspec.convert(fields, cls)
        except msgspec.ValidationError as cause:
            raise MessageError(
                "an attribute has a wrong type", got=str(cause), fix="send CloudEvents 1.0"
            ) from cause
        check(message)
        return message


def check(message: Message) -> None:
    """Raise MessageError unless every attribute is what CloudEvents and this bus allow."""
    check_type(message.type)
    check_source(message.source)
    given: object = message.id
    if not isinstance(given, str) or not 0 < len(given) <= MAX_ID or not given.isprintable():
        _refuse("`id` is not a printable text", given, f"give 1 to {MAX_ID} characters")
    for name in _TEXTS:
        text: object = getattr(message, name)
        if text is not None and (not isinstance(text, str) or not text):
            _refuse(f"`{name}` is not a text", text, "give a text, or leave it out")
    if not isinstance(message.time_ns, int):
        _refuse("`time_ns` is no time", message.time_ns, "give nanoseconds since 1970")
    if message.extensions is not None:
        _check_extensions(message.extensions)


def _check_extensions(extensions: object) -> None:
    if not isinstance(extensions, Mapping):
        _refuse("`extensions` are not values by name", extensions, "give a dict")
    for name, value in extensions.items():
        if not isinstance(name, str) or not _EXTENSION.fullmatch(name) or name in _KNOWN:
            fix = "use 1 to 20 lower-case letters and digits, and no name CloudEvents has"
            _refuse("an extension has a name CloudEvents does not allow", name, fix)
        if not isinstance(value, str | int):
            fix = "put it into the payload"
            _refuse(f"extension `{name}` is no text, integer or bool", value, fix)


def _payload(wire: dict[str, object]) -> object:
    given = [name for name in ("data", "payload", "data_base64") if name in wire]
    if len(given) > 1:
        _refuse("a message carries its payload twice", " and ".join(given), "send one of them")
    payload = wire.get(given[0]) if given else None
    if given != ["data_base64"]:
        return payload
    try:
        return base64.b64decode(payload if isinstance(payload, str) else "?", validate=True)
    except (binascii.Error, ValueError) as cause:
        raise MessageError("`data_base64` is no base64", fix="encode as RFC 4648 says") from cause


def _time_text(time_ns: int) -> str:
    try:
        seconds, rest = divmod(time_ns, 1_000_000_000)
        whole = _second_text(seconds)
    except OverflowError as cause:
        raise MessageError(
            "`time_ns` is no time", got=shown(time_ns), fix="give nanoseconds since 1970"
        ) from cause
    return f"{whole}.{rest:09d}Z" if rest else f"{whole}Z"


@lru_cache(maxsize=64)
def _second_text(seconds: int) -> str:
    return (_EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S").zfill(19)


def _time_ns(text: object) -> int:
    found = _TIME.fullmatch(text) if isinstance(text, str) else None
    if found is not None:
        day, clock, fraction, zone = found.groups()
        zone = "+00:00" if zone in "Zz" else zone
        try:
            whole = datetime.fromisoformat(f"{day}T{clock}{zone}") - _EPOCH
        except ValueError:
            pass
        else:
            rest = int((fraction or "0")[:9].ljust(9, "0"))
            return (whole.days * 86_400 + whole.seconds) * 1_000_000_000 + rest
    raise MessageError(
        "`time` is no time", got=shown(text), fix="write it as RFC 3339, like 2026-01-31T09:00:00Z"
    )


def _encode(wire: dict[str, object], message: Message) -> bytes:
    try:
        return msgspec.json.encode(wire)
    except (TypeError, ValueError, RecursionError) as cause:
        raise MessageError(
            f"the payload of `{message.type}` cannot be written as JSON",
            got=str(cause),
            fix="send JSON values or bytes, and large tensors as a `dataref`",
        ) from cause


def _decode(text: bytes) -> dict[str, object]:
    try:
        return msgspec.json.decode(text, type=dict[str, object])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as cause:
        raise MessageError(
            "a message is no JSON object", got=str(cause), fix="send CloudEvents structured JSON"
        ) from cause


def _limited(text: bytes) -> bytes:
    if len(text) > MAX_MESSAGE_BYTES:
        fix = f"send at most {MAX_MESSAGE_BYTES} bytes, and a `dataref` to the rest"
        _refuse("a message is too large", f"{len(text)} bytes", fix)
    return text


def _refuse(problem: str, got: object, fix: str) -> NoReturn:
    raise MessageError(problem, got=got if isinstance(got, str) else shown(got), fix=fix)
