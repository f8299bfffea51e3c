"""Messages, and their form on the wire held against the CloudEvents SDK."""

from __future__ import annotations

import contextlib
import json
import os
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from hypothesis import given
from hypothesis import strategies as st

from openautoglm.bus import MAX_MESSAGE_BYTES, Message, direct, message
from openautoglm.errors import MessageError

if TYPE_CHECKING:
    from collections.abc import Callable

FLOATS = st.floats(allow_nan=False, allow_infinity=False)
INTEGERS = st.integers(-(2**63), 2**64 - 1)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | INTEGERS | FLOATS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)
PARTS = st.from_regex(r"[a-z0-9][a-z0-9_-]{0,8}", fullmatch=True)
TYPES = st.lists(PARTS, min_size=1, max_size=4).map(".".join)
LABELS = st.from_regex(r"[a-z0-9]{1,20}", fullmatch=True).filter(
    lambda name: (
        name
        not in {"id", "type", "time", "data", "source", "payload", "subject", "dataref"}
        | {"specversion", "dataschema", "datacontenttype"}
    )
)
SUBJECTS = st.none() | TEXTS.filter(bool)
MESSAGES = st.builds(
    Message,
    TYPES,
    TYPES,
    JSON | st.binary(max_size=64),
    id=st.from_regex(r"[!-~]{1,40}", fullmatch=True),
    time_ns=st.integers(0, 4_000_000_000 * 10**9),
    subject=SUBJECTS,
    dataref=SUBJECTS,
    extensions=st.none()
    | st.dictionaries(LABELS, TEXTS | st.booleans() | st.integers(0, 99), min_size=1, max_size=3),
)


def wire(**changes: object) -> bytes:
    attributes = {"specversion": "1.0", "id": "1", "source": "a", "type": "b", **changes}
    return json.dumps({k: v for k, v in attributes.items() if v is not ...}).encode()


@given(MESSAGES)
def test_what_is_written_is_read_again(message: Message) -> None:
    assert Message.from_json(message.to_json()) == message


@given(MESSAGES)
def test_the_cloudevents_sdk_reads_what_is_written(message: Message) -> None:
    event = JSONFormat().read(None, message.to_json())
    assert (event.get_id(), event.get_source(), event.get_type()) == (
        message.id,
        message.source,
        message.type,
    )
    assert event.get_data() == message.payload
    assert event.get_time() == message.time
    assert event.get_subject() == message.subject
    assert event.get_extension("dataref") == message.dataref
    for name, value in (message.extensions or {}).items():
        assert event.get_extension(name) == value


@given(TYPES, TYPES, st.dictionaries(TEXTS, JSON, max_size=3) | st.binary(min_size=1), SUBJECTS)
def test_what_the_cloudevents_sdk_writes_is_read(
    type_: str, source: str, data: dict[str, object] | bytes, subject: str | None
) -> None:
    attributes: dict[str, object] = {"type": type_, "source": source, "shard": "7"}
    if subject is not None:
        attributes["subject"] = subject
    event = CloudEvent(attributes, data)
    message = Message.from_json(JSONFormat().write(event))
    assert (message.type, message.source, message.id) == (type_, source, event.get_id())
    assert message.payload == data
    assert message.time == event.get_time()
    assert message.subject == subject
    assert message.extensions == {"shard": "7"}


def test_payload_is_an_alias_of_data_on_the_wire_and_in_python() -> None:
    message = Message.from_json(wire(payload={"timeout": 3000}))
    assert message.data == message.payload == {"timeout": 3000}
    assert json.loads(message.to_json())["data"] == {"timeout": 3000}


def test_bytes_travel_as_base64_and_tensors_by_reference() -> None:
    assert json.loads(Message("a", "b", b"\x00\xff").to_json())["data_base64"] == "AP8="
    assert "data" not in json.loads(Message("a", "b", dataref="oag-shm:7/3").to_json())


def test_a_message_has_an_id_of_its_own_and_the_time_it_was_made() -> None:
    before = datetime.now(UTC)
    made = [Message("a", "b") for _ in range(1000)]
    assert len({message.id for message in made}) == 1000
    assert before.replace(microsecond=0) <= made[0].time <= datetime.now(UTC)


def test_threads_never_get_the_same_id() -> None:
    with ThreadPoolExecutor(4) as pool:
        ids = pool.map(lambda _: [Message("a", "b").id for _ in range(5000)], range(4))
    assert len({one for some in ids for one in some}) == 20_000


def test_the_child_of_a_fork_makes_ids_its_parent_does_not() -> None:
    Message("a", "b")
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(write, Message("a", "b").id.encode())
        os._exit(0)
    os.waitpid(child, 0)
    prefix = os.read(read, 100).decode().partition("-")[0]
    assert prefix != Message("a", "b").id.partition("-")[0]


def test_the_time_keeps_nanoseconds_and_other_zones_are_read() -> None:
    assert json.loads(Message("a", "b", time_ns=1).to_json())["time"] == (
        "1970-01-01T00:00:00.000000001Z"
    )
    assert Message.from_json(wire(time="1970-01-01T01:00:00.5+01:00")).time_ns == 500_000_000
    assert Message.from_json(wire(time="1969-12-31T23:59:59Z")).time_ns == -(10**9)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"", "no JSON object"),
        (b"[]", "no JSON object"),
        (b"[" * 100_000, "no JSON object"),
        (b'{"id":"\xff"}', "no JSON object"),
        ('{"id":"\ud800"}', "no JSON object"),
        (wire(type=...), "no `type`"),
        (wire(source=...), "no `source`"),
        (wire(id=...), "no `id`"),
        (wire(id=""), "`id`"),
        (wire(id=7), "wrong type"),
        (wire(id="a\nb"), "`id`"),
        (wire(id="x" * 300), "`id`"),
        (wire(specversion="0.3"), "`specversion`"),
        (wire(type="a b"), "message type"),
        (wire(type="config.*"), "message type"),
        (wire(type="x" * 129), "message type"),
        (wire(source=""), "a source"),
        (wire(time="yesterday"), "`time`"),
        (wire(time="2026-13-01T00:00:00Z"), "`time`"),
        (wire(time=5), "`time`"),
        (wire(subject=""), "`subject`"),
        (wire(data=1, payload=1), "twice"),
        (wire(data=1, data_base64="AA=="), "twice"),
        (wire(data_base64="not base64!"), "base64"),
        (wire(data_base64=5), "base64"),
        (wire(Shard="1"), "extension"),
        (wire(shard={"a": 1}), "wrong type"),
        (wire(data="x" * MAX_MESSAGE_BYTES), "too large"),
    ],
)
def test_what_is_no_message_is_refused_in_words(text: bytes, says: str) -> None:
    with pytest.raises(MessageError, match=says):
        Message.from_json(text)


@given(st.binary(max_size=200) | st.text(max_size=200))
def test_any_bytes_are_a_message_or_a_message_error(text: bytes | str) -> None:
    with contextlib.suppress(MessageError):
        Message.from_json(text)


@pytest.mark.parametrize(
    "message",
    [
        Message("a", "b", object()),
        Message("a", "b", {1, 2}.__iter__()),
        Message("", "b"),
        Message("a", "b", "x" * MAX_MESSAGE_BYTES),
        Message("a", "b", id=""),
        Message("a", "b", extensions={"data": 1}),
        Message("a", "b", extensions={"n": 1.5}),  # type: ignore[dict-item]  # what is refused
        Message("a", "b", extensions=5),  # type: ignore[arg-type]  # what is refused
        Message("a", "b", time_ns=10**40),
        Message("a", "b", time_ns=1.5),  # type: ignore[arg-type]  # what is refused
        Message("a", "b", "\ud800"),
    ],
)
def test_what_cannot_be_written_is_refused_in_words(message: Message) -> None:
    with pytest.raises(MessageError):
        message.to_json()


def test_null_on_the_wire_is_as_if_it_were_not_there() -> None:
    names = ("specversion", "time", "subject", "dataref", "datacontenttype", "data", "shard")
    message = Message.from_json(wire(**dict.fromkeys(names)))
    assert message == Message("b", "a", id="1", time_ns=message.time_ns)
    assert Message.from_json(wire(data=None, data_base64="AP8=")).payload == b"\x00\xff"
    with pytest.raises(MessageError, match="no `source`"):
        Message.from_json(wire(source=None))


def test_bytes_of_every_kind_are_written() -> None:
    for payload in (b"ac", bytearray(b"ac"), memoryview(b"abcd")[::2]):
        assert Message.from_json(Message("a", "b", payload).to_json()).payload == b"ac"


def test_a_message_that_holds_itself_is_refused() -> None:
    loop: list[object] = []
    loop.append(loop)
    with pytest.raises(MessageError, match="payload of `a`"):
        Message("a", "b", loop).to_json()


KINDS = [
    (message._begin_python_ids, message._python_id),
    (direct.begin_ids, direct.next_id),
]


@pytest.mark.parametrize(("begin", "make"), KINDS, ids=["python", "compiled"])
def test_ids_are_a_prefix_and_a_number_that_grows(
    begin: Callable[[str], None], make: Callable[[], str]
) -> None:
    begin("0123456789abcdef")
    try:
        ids = [make() for _ in range(300)]
    finally:
        message._new_ids()
    numbers = [int(number, 16) for prefix, _, number in (text.partition("-") for text in ids)]
    assert {text.partition("-")[0] for text in ids} == {"0123456789abcdef"}
    assert numbers == sorted(set(numbers))
    assert ids == [f"0123456789abcdef-{number:x}" for number in numbers]
