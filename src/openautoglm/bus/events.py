"""The messages the host itself sends: their types, and what their payloads hold.

`spec/messages.schema.json` says the same for other languages, and is made of this module. Knows
nothing of plugins, models and jobs; whoever has news fills in a payload.

Example:
    >>> from openautoglm.bus import Bus
    >>> news = PluginState(plugin="acme.upper", version="1.2.0", old="canary", new="active")
    >>> with Bus() as bus:
    ...     tell(bus, news).type
    'plugin.state'
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

import msgspec

from openautoglm.errors import MessageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from openautoglm.bus.message import Message
    from openautoglm.bus.ports import Port

CONFIG_UPDATE: Final = "config.update"
PLUGIN_STATE: Final = "plugin.state"
KERNEL_RUN: Final = "kernel.run"
MODEL_STATE: Final = "model.state"
JOB_STATE: Final = "job.state"

PluginStateName = Literal[
    "discovered",
    "verified",
    "validated",
    "staged",
    "admitted",
    "canary",
    "active",
    "draining",
    "retired",
    "rejected",
    "quarantined",
    "rolled-back",
    "starting",
    "running",
    "restarting",
    "failed",
    "stopping",
    "stopped",
]
ModelStateName = Literal["loading", "ready", "asleep", "closed", "failed"]
JobStateName = Literal["planned", "running", "paused", "done", "failed", "cancelled"]


class PluginState(msgspec.Struct, frozen=True, kw_only=True):
    """A plugin went from one state to another, of its life or of its workers."""

    plugin: str
    version: str
    old: PluginStateName
    new: PluginStateName
    reason: str = ""


class KernelRun(msgspec.Struct, frozen=True, kw_only=True):
    """A kernel ran; `seconds` on a GPU is how long the launch took."""

    op: str
    kernel: str
    device: str
    seconds: float


class ModelState(msgspec.Struct, frozen=True, kw_only=True):
    """A model was loaded, put to sleep, closed, or failed."""

    model: str
    backend: str
    state: ModelStateName
    reason: str = ""


class JobState(msgspec.Struct, frozen=True, kw_only=True):
    """A job went from one state to another; counts are rows, `total` None if unknown."""

    job: str
    state: JobStateName
    done: int = 0
    failed: int = 0
    total: int | None = None
    reason: str = ""


Payload = PluginState | KernelRun | ModelState | JobState


TYPES: Final[Mapping[str, type[Payload]]] = {
    PLUGIN_STATE: PluginState,
    KERNEL_RUN: KernelRun,
    MODEL_STATE: ModelState,
    JOB_STATE: JobState,
}
_TYPE_OF: Final = {payload: type_ for type_, payload in TYPES.items()}


def tell(port: Port, news: Payload, *, durable: bool = False) -> Message:
    """Send one payload as the message it is for, as plain JSON values.

    Raises as `Port.emit`.
    """
    return port.emit(_TYPE_OF[type(news)], payload=msgspec.to_builtins(news), durable=durable)


def read(message: Message) -> Payload:
    """Return the payload of a message of the host as what it is.

    Raises:
        MessageError: it is none of `TYPES`, or holds something else.
    """
    kind = TYPES.get(message.type)
    if kind is None:
        raise MessageError(
            f"`{message.type}` is no message of the host",
            got=f"those are {', '.join(TYPES)}",
            fix="read its payload as it is",
        )
    try:
        return msgspec.convert(message.payload, kind)
    except msgspec.ValidationError as cause:
        raise MessageError(
            f"the payload of `{message.type}` is not what it should be",
            got=str(cause),
            fix="see spec/messages.schema.json",
        ) from cause


def publisher(port: Port, type_: str) -> Callable[[object], None]:
    """Return a function that emits a dataclass or struct as a payload.

    For callbacks of modules that know no bus: `with ops.watching(publisher(bus, KERNEL_RUN)):`.
    """

    def publish(value: object) -> None:
        port.emit(type_, payload=msgspec.to_builtins(value))

    return publish


def schema() -> dict[str, object]:
    """Return the JSON schema of all payloads, by message type."""
    schemas, components = msgspec.json.schema_components(
        TYPES.values(), ref_template="#/$defs/{name}"
    )
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Payloads of the messages that Open-AutoGLM's host sends, by type",
        "properties": {
            CONFIG_UPDATE: {"description": "Settings by name, each with its new value."},
            **dict(zip(TYPES, schemas, strict=True)),
        },
        "$defs": components,
    }
