"""What a call into a worker lends to it: something of the host's, for as long as the call runs.

Owns the loans of this process, and who answers for them on a bus: `model.generate`. A loan is known
by a name that cannot be guessed, and is over when its call is, however that ends. Knows nothing of
models, and nothing of workers; who may ask is for the channels of the bus.

Does not guard against a plugin that tells another one the name of its loan: that one needs the
permission as well, and the loan ends with the call.
"""

from __future__ import annotations

import logging
import secrets
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, TypeAlias
from weakref import WeakKeyDictionary

from openautoglm.errors import NameTakenError, RespondFailedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from openautoglm.bus import Bus, Message, Responder

Lender: TypeAlias = "Callable[[Mapping[str, object], threading.Event], object]"
"""Answers what is asked of a loan; the event is set when the loan is over."""

MODEL: Final = "model.generate"
"""The type of the requests."""

LOAN: Final = "loan"
"""The key of a request's payload that holds the name of the loan."""

THREADS: Final = 8
"""Requests that are answered at a time on one bus."""

_log: Final = logging.getLogger("openautoglm.plugins")
_loans: Final[dict[str, tuple[Lender, threading.Event]]] = {}
_lock: Final = threading.Lock()
_served: Final[WeakKeyDictionary[Bus, tuple[Responder | None, int]]] = WeakKeyDictionary()


@contextmanager
def lending(lender: Lender) -> Iterator[str]:
    """Lend inside the block; what it gives is the name of the loan.

    Example:
        >>> with lending(lambda asked, _: asked["text"]) as loan:
        ...     answered({"loan": loan, "text": "hello"})
        'hello'
    """
    name, over = secrets.token_hex(16), threading.Event()
    _loans[name] = lender, over
    try:
        yield name
    finally:
        del _loans[name]
        over.set()


def is_here(loan: str) -> bool:
    """Return whether this is the process that lends, so that nothing has to be asked on a bus."""
    return loan in _loans


def answered(asked: object) -> object:
    """Return what a lender answers to the payload of a request; its errors come as they are.

    Raises:
        RespondFailedError: there is no such loan, or none any more.
    """
    given: dict[str, object] = asked if isinstance(asked, dict) else {}
    name = given.get(LOAN)
    found = _loans.get(name) if isinstance(name, str) else None
    if found is None:
        raise RespondFailedError(
            "nothing is lent to who asks, or the call that it was lent to is over",
            got=f"a request of `{MODEL}`",
            fix="use `context.engine` of a pipeline's step, before its `run` returns",
        )
    lender, over = found
    return lender(given, over)


def may_ask(source: str, permissions: Iterable[str]) -> bool:
    """Return whether permissions as a manifest writes them allow requests of `MODEL`."""
    from openautoglm.bus import PermissionTable

    return PermissionTable.of({source: permissions}).allows(source, "call", MODEL)


def open_on(bus: Bus) -> None:
    """Answer for the loans of this process on a bus, until `close_on` was called as often.

    Where another answers `MODEL` there already, it stays with that one.
    """
    with _lock:
        responder, users = _served.get(bus, (None, 0))
        if not users:
            try:
                responder = bus.respond(MODEL, _answer, threads=THREADS)
            except NameTakenError as taken:
                _log.warning("steps in workers get no model on this bus: %s", taken)
        _served[bus] = responder, users + 1


def close_on(bus: Bus) -> None:
    """Take one `open_on` back; the last one ends the answering."""
    with _lock:
        responder, users = _served.get(bus, (None, 0))
        if users > 1:
            _served[bus] = responder, users - 1
            return
        _served.pop(bus, None)
        if responder is not None:  # here, so that the next `open_on` finds the type free
            responder.close()


def _answer(request: Message) -> object:
    return answered(request.payload)
