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

import logging
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from openautoglm.bus import made
from openautoglm.errors import BusClosedError, MessageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from openautoglm.bus.message import Message
    from openautoglm.bus.ports import Port

_log: Final = logging.getLogger("openautoglm.bus")

CONFIG_UPDATE: Final = "config.update"
PLUGIN_STATE: Final = "plugin.state"
PLUGIN_ROLLOUT: Final = "plugin.rollout"
KERNEL_RUN: Final = "kernel.run"
MODEL_STATE: Final = "model.state"
JOB_STATE: Final = "job.state"
SCHEDULE_SLOT: Final = "schedule.slot"

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
SlotStateName = Literal["waiting", "claimed", "launched", "ended", "skipped", "missed", "failed"]


class PluginState(msgspec.Struct, frozen=True, kw_only=True):
    """A plugin went from one state to another, of its life or of its workers."""

    plugin: str
    version: str
    old: PluginStateName
    new: PluginStateName
    reason: str = ""


class PluginRollout(msgspec.Struct, frozen=True, kw_only=True):
    """Where the replacement of a plugin is while it waits for answers.

    Of `steps`, in `step`, the version `new` has `weight` percent of the calls. `answers` are those
    of it in this step and `wanted` how many it is judged at next; `stable_` are those of `old`.
    `recorded` requests were made of each version, since nobody called.
    """

    plugin: str
    old: str
    new: str
    step: int
    steps: int
    weight: int
    answers: int
    wanted: int
    stable_answers: int
    stable_wanted: int
    recorded: int
    waits_for: str
    seconds: float


class KernelRun(msgspec.Struct, frozen=True, kw_only=True):
    """A kernel ran; `seconds` on a GPU is how long the launch took."""

    op: str
    kernel: str
    device: str
    seconds: float


class ModelState(msgspec.Struct, frozen=True, kw_only=True):
    """A model is being loaded, was loaded, put to sleep, closed, or failed.

    `engine` is the same in all messages of one `AutoGLM`. Model and backend are what was asked for
    until it is `ready`, and then what was loaded, in so many `seconds`.
    """

    engine: str
    model: str
    backend: str
    state: ModelStateName
    device: str = ""
    seconds: float | None = None
    reason: str = ""


class JobState(msgspec.Struct, frozen=True, kw_only=True):
    """A job went from one state to another, or on: then it is `running` still.

    `job` is the same in all messages of one job, `task` names the pipeline. Counts are rows: those
    that are `done`, and how many of these `failed`; `total` is None if unknown.
    """

    job: str
    task: str
    state: JobStateName
    done: int = 0
    failed: int = 0
    total: int | None = None
    reason: str = ""


class ScheduleSlot(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one time of a schedule.

    `fire` is that time, in UTC as ISO 8601; `kind` says whose wish it is; `job` is empty where none
    was started.
    """

    schedule: str
    fire: str
    kind: str
    state: SlotStateName
    job: str = ""
    error: str = ""


Payload = PluginState | PluginRollout | KernelRun | ModelState | JobState | ScheduleSlot

TYPES: Final[Mapping[str, type[Payload]]] = {
    PLUGIN_STATE: PluginState,
    PLUGIN_ROLLOUT: PluginRollout,
    KERNEL_RUN: KernelRun,
    MODEL_STATE: ModelState,
    JOB_STATE: JobState,
    SCHEDULE_SLOT: ScheduleSlot,
}
SENDERS: Final[Mapping[str, tuple[str, ...]]] = {
    CONFIG_UPDATE: (),  # whoever changed a setting
    PLUGIN_STATE: (
        "openautoglm.plugins.host:PluginHost",
        "openautoglm.plugins.rollout:Rollouts",
    ),
    PLUGIN_ROLLOUT: ("openautoglm.plugins.rollout:Rollouts",),
    KERNEL_RUN: ("openautoglm.bus.events:publisher",),
    MODEL_STATE: ("openautoglm.engine.autoglm:AutoGLM",),
    JOB_STATE: ("openautoglm.pipeline.graph:Pipeline", "openautoglm.jobs.batch_job:BatchJob"),
    SCHEDULE_SLOT: ("openautoglm.jobs.schedules:Scheduler",),
}
"""Who sends the messages of a type, as "module:attribute"."""

_TYPE_OF: Final = {payload: type_ for type_, payload in TYPES.items()}


def tell(port: Port, news: Payload, *, durable: bool = False) -> Message:
    """Send one payload as the message it is for, as plain JSON values.

    Raises as `Port.emit`.
    """
    return port.emit(_TYPE_OF[type(news)], payload=msgspec.to_builtins(news), durable=durable)


def announce(news: Callable[[], Payload]) -> None:
    """Send a payload on the bus of this process if there is one by now; raise nothing.

    What becomes of a model or a job is not to depend on who wants to know of it. In a worker of a
    plugin nothing is sent: its models and jobs are not the host's.
    """
    port = made()
    if port is None:
        return
    try:
        tell(port, news())
    except BusClosedError:
        return
    except Exception:  # noqa: BLE001 - such as a full outbox: a run goes on
        _log.exception("the bus did not take an event")


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
            CONFIG_UPDATE: {
                "description": "Settings by name, each with its new value; those it leaves out "
                "are as they were. Whose they are says the message's source.",
                "type": "object",
            },
            **dict(zip(TYPES, schemas, strict=True)),
        },
        "$defs": components,
    }
