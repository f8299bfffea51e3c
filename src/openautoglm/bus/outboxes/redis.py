"""An outbox in a Redis server, in streams: for several hosts, which may share a consumer.

What Redis keeps over its own restart is up to its settings (`appendonly yes`). Messages known by
`(source, id)` are told apart within `known_s`. A message handled for longer than `again_s`, or
whose consumer died, is claimed by any who consumes under the name: Redis never does so by itself.
The first message a name sees is the first stored after it was opened first.

Keys, all under the prefix: `:messages`, the stream; `:known:*`, one for each message known; and
for each consumer `:retry:*`, a stream of messages that are tried again, `:later:*`, those not due
yet, and `:quarantine:*`. On a cluster, put braces around the prefix: `{openautoglm}`.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Self, final

from openautoglm.bus.message import Message
from openautoglm.bus.names import matcher
from openautoglm.bus.outbox import Claim, Quarantined
from openautoglm.errors import BusClosedError, MessageError, OutboxError
from openautoglm.settings import need

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

    Entry = tuple[bytes, dict[bytes, bytes]]
    Script = Callable[..., object]

AGAIN_S: Final = 30.0
KNOWN_S: Final = 86_400.0
MAX_MESSAGES: Final = 1_000_000
TIMEOUT_S: Final = 5.0

_log: Final = logging.getLogger("openautoglm.bus")
_SLICE_S: Final = 0.1  # of a wait, so that `wake`, `close` and what comes due are heard
_PUT: Final = """
if not redis.call('SET', KEYS[2], '1', 'NX', 'PX', ARGV[2]) then return 0 end
redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[3], '*', 'm', ARGV[1], 'a', '0')
return 1
"""
_DONE: Final = """
redis.call('XACK', KEYS[1], ARGV[1], ARGV[2])
if KEYS[1] == KEYS[2] then redis.call('XDEL', KEYS[1], ARGV[2]) end
"""
_LATER: Final = f"""{_DONE}
local now = redis.call('TIME')
local due = now[1] * 1000 + math.floor(now[2] / 1000) + ARGV[5]
redis.call('ZADD', KEYS[3], due, ARGV[4] .. ':' .. ARGV[3])
"""
_DUE: Final = """
local now = redis.call('TIME')
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf',
  now[1] * 1000 + math.floor(now[2] / 1000), 'LIMIT', 0, 100)
for _, one in ipairs(due) do
  local colon = string.find(one, ':', 1, true)
  redis.call('XADD', KEYS[2], '*', 'm', string.sub(one, colon + 1),
    'a', string.sub(one, 1, colon - 1))
  redis.call('ZREM', KEYS[1], one)
end
"""
_ASIDE: Final = f"""{_DONE}
redis.call('XADD', KEYS[3], '*', 'm', ARGV[3], 'reason', ARGV[4])
"""


@final
class RedisOutbox:
    """Keep durable messages in Redis streams.

    Threads may share one object.

    Args:
        url: of the server, `redis://host:6379/0`, with credentials if it wants some.
        prefix: what the names of its keys start with.
        again_s: how long a handler may take before its message is handed over again.
        known_s: how long a message is remembered to know its like again.
        max_messages: how many are kept at least; the oldest go first, handled or not.
        timeout_s: how long the server may take to answer.

    Raises:
        MissingExtraError: `redis` is not installed.
        OutboxError: the server cannot be reached.
    """

    def __init__(
        self,
        url: str,
        *,
        prefix: str = "openautoglm",
        again_s: float = AGAIN_S,
        known_s: float = KNOWN_S,
        max_messages: int = MAX_MESSAGES,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._redis = need("redis", extra="redis", why="an outbox in Redis")
        self.prefix: Final = prefix
        self.again_s: Final = again_s
        self._known_ms, self._max_messages = int(known_s * 1000), max_messages
        self._lock = threading.Lock()
        self._is_closed = False
        self._url = url
        with self.worded():
            self.client = self._redis.Redis.from_url(
                url, socket_timeout=timeout_s, socket_connect_timeout=timeout_s
            )
            self.client.ping()
            self._put = self.client.register_script(_PUT)

    def put(self, message: Message) -> bool:
        """Store a message; see `Outbox`."""
        body = message.to_json()
        self._refuse_closed()
        key = hashlib.sha256(f"{message.source}\0{message.id}".encode()).hexdigest()
        with self.worded():
            stored = self._put(
                keys=[f"{self.prefix}:messages", f"{self.prefix}:known:{key}"],
                args=[body, self._known_ms, self._max_messages],
            )
        return bool(stored)

    def feed(self, consumer: str, pattern: str) -> RedisFeed:
        """Open a consumer, which others may have open too; see `Outbox`."""
        takes = matcher(pattern)
        self._refuse_closed()
        with self.worded():
            return RedisFeed(self, consumer, takes)

    def quarantined(self, consumer: str) -> tuple[Quarantined, ...]:
        """Return what was set aside; see `Outbox`."""
        self._refuse_closed()
        with self.worded():
            entries = self.client.xrange(f"{self.prefix}:quarantine:{consumer}")
        return tuple(
            Quarantined(
                message=Message.from_json(fields[b"m"]), reason=fields[b"reason"].decode("utf-8")
            )
            for _, fields in entries
        )

    def close(self) -> None:
        """Let go of the server; messages stay there."""
        with self._lock:
            if not self._is_closed:
                self._is_closed = True
                self.client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @contextmanager
    def worded(self) -> Iterator[None]:
        """Turn the client's errors into ours."""
        try:
            yield
        except (self._redis.RedisError, OSError) as cause:
            raise OutboxError(
                "Redis did not do what was asked of it",
                got=f"{self._url.rpartition('@')[2]}: {cause}",
                fix="see that the server runs, and that this host may use it",
            ) from cause

    def make_group(self, key: str, group: str, start: str) -> None:
        """Make a consumer group where there is none."""
        try:
            self.client.xgroup_create(key, group, id=start, mkstream=True)
        except self._redis.ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise

    def _refuse_closed(self) -> None:
        if self._is_closed:
            raise BusClosedError("the outbox is closed", fix="open it again")


@final
class RedisFeed:
    """The messages of one consumer; see `Feed`. Made by `RedisOutbox.feed`."""

    def __init__(self, outbox: RedisOutbox, consumer: str, takes: Callable[[str], bool]) -> None:
        self._outbox = outbox
        self._group = consumer
        self._takes = takes
        self._me = uuid.uuid4().hex
        self._messages = f"{outbox.prefix}:messages"
        self._retries = f"{outbox.prefix}:retry:{consumer}"
        self._later_key = f"{outbox.prefix}:later:{consumer}"
        self._held: dict[tuple[str, bytes], Claim] = {}
        self._is_woken = False
        self._looks_at = 0.0
        self._cursors: dict[str, bytes | str] = dict.fromkeys((self._retries, self._messages), "0")
        self._client = outbox.client
        outbox.make_group(self._messages, consumer, "$")
        outbox.make_group(self._retries, consumer, "0")
        self._done = self._client.register_script(_DONE)
        self._later = self._client.register_script(_LATER)
        self._due = self._client.register_script(_DUE)
        self._aside = self._client.register_script(_ASIDE)

    def next(self, timeout_s: float) -> Claim | None:
        """Return the next message that is due."""
        ends_at = time.monotonic() + timeout_s
        with self._outbox.worded():
            while not self._is_woken and (left := ends_at - time.monotonic()) > 0:
                claim = self._orphan() or self._fresh(min(left, _SLICE_S))
                if claim is not None:
                    return claim
        self._is_woken = False
        return None

    def ack(self, claim: Claim) -> None:
        """Take note that the message was handled."""
        with self._outbox.worded():
            self._run(self._done, claim, self._retries)

    def retry(self, claim: Claim, delay_s: float) -> None:
        """Give the message back."""
        with self._outbox.worded():
            body = claim.message.to_json()
            rest = (body, claim.attempt, int(delay_s * 1000))
            self._run(self._later, claim, self._later_key, *rest)

    def quarantine(self, claim: Claim, reason: str) -> None:
        """Set the message aside."""
        with self._outbox.worded():
            key = f"{self._outbox.prefix}:quarantine:{self._group}"
            self._run(self._aside, claim, key, claim.message.to_json(), reason)

    def wake(self) -> None:
        """Let `next` return soon."""
        self._is_woken = True

    def close(self) -> None:
        """Let go of the server; what was fetched and not acknowledged is due again."""
        with self._outbox.worded():
            for claim in list(self._held.values()):
                self.retry(claim, 0)
            for key in (self._messages, self._retries):
                self._client.xgroup_delconsumer(key, self._group, self._me)

    def _orphan(self) -> Claim | None:
        """Claim what another had for too long; now and then, since it costs two questions."""
        now = time.monotonic()
        if now < self._looks_at:
            return None
        self._looks_at = now + min(1.0, self._outbox.again_s / 4)
        idle_ms = int(self._outbox.again_s * 1000)
        for key, cursor in self._cursors.items():
            reply = self._client.xautoclaim(
                key, self._group, self._me, idle_ms, start_id=cursor, count=1
            )
            self._cursors[key] = reply[0]
            for entry in reply[1]:
                pending = self._client.xpending_range(key, self._group, entry[0], entry[0], 1)
                times = pending[0]["times_delivered"] if pending else 1
                if (claim := self._claim(key, entry, times)) is not None:
                    self._looks_at = 0.0  # where one is, there may be more
                    return claim
        return None

    def _fresh(self, timeout_s: float) -> Claim | None:
        self._due(keys=[self._later_key, self._retries])
        block_ms = max(1, int(timeout_s * 1000))
        return self._read(self._retries, None) or self._read(self._messages, block_ms)

    def _read(self, key: str, block_ms: int | None) -> Claim | None:
        found = self._client.xreadgroup(self._group, self._me, {key: ">"}, count=1, block=block_ms)
        streams = found.values() if isinstance(found, dict) else [entries for _, entries in found]
        for entries in streams:
            for entry in _flat(entries):
                return self._claim(key, entry, 1)
        return None

    def _claim(self, key: str, entry: Entry, times: int) -> Claim | None:
        """Return what was fetched, or acknowledge it if the pattern does not take it."""
        number, fields = entry
        try:
            message = Message.from_json(fields[b"m"])
            attempt = int(fields[b"a"]) + times
        except (MessageError, KeyError, ValueError) as error:  # another writes into our stream
            _log.error("what came from Redis is no message and is thrown away: %r", error)
            self._done(keys=[key, self._retries], args=[self._group, number])
            return None
        claim = Claim(message=message, attempt=attempt, token=(key, number))
        self._held[key, number] = claim
        if self._takes(message.type):
            return claim
        self._run(self._done, claim, self._retries)
        return None

    def _run(self, script: Script, claim: Claim, key: str, *rest: bytes | str | int) -> None:
        token = claim.token
        assert isinstance(token, tuple), "made by `_claim`"  # noqa: S101 - our own invariant
        script(keys=[token[0], self._retries, key], args=[self._group, token[1], *rest])
        self._held.pop(token, None)


def _flat(entries: list[Entry] | list[list[Entry]]) -> list[Entry]:
    """Return the entries of a stream, which RESP3 puts into one more list."""
    first = entries[0] if entries else None
    return first if isinstance(first, list) and first and isinstance(first[0], tuple) else entries  # type: ignore[return-value]  # just asked
