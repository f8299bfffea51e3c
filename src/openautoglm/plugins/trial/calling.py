"""Rows about single calls: answered, as recorded, alike, and errors for what is no input.

Runs in the child. Owns `trial.calls`, `trial.requests`, `trial.determinism`, `trial.bad-input`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from openautoglm.errors import OpenAutoGLMError
from openautoglm.plugins.inspect.rows import failed, passed, shown, skipped
from openautoglm.plugins.trial.subjects import is_like, stable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openautoglm.plugins.report import Finding
    from openautoglm.plugins.trial.requests import Request
    from openautoglm.plugins.trial.subjects import Contributed

AGAIN: Final = 3
MAX_SHOWN: Final = 120
NOT_MADE: Final = "no request is recorded, and none can be made up for it"


def calls(contributed: Contributed, label: str) -> Iterator[Finding]:
    """Make every request once."""
    if not contributed.requests:
        yield skipped("trial.calls", NOT_MADE, contribution=label)
        return
    wrong: list[str] = []
    for place, request in enumerate(contributed.requests):
        try:
            answer: object = contributed.call(request)
        except Exception as error:  # noqa: BLE001 - whatever a plugin raises is a finding
            if not request.error:
                measured = f"request {place + 1}: {told(error)}"
                yield failed("trial.calls", measured, contribution=label)
                return
            if type(error).__name__ != request.error:
                wrong.append(f"request {place + 1}: {told(error)}, not {request.error}")
            continue
        wrong += _compared(place, request, answer)
    yield passed("trial.calls", f"{len(contributed.requests)} requests", contribution=label)
    yield _replayed(contributed, wrong, label)


def _replayed(contributed: Contributed, wrong: list[str], label: str) -> Finding:
    row = "trial.requests"
    judged = sum(request.is_judged for request in contributed.requests)
    if wrong:
        return failed(row, shown(wrong), contribution=label)
    if not judged:
        return skipped(row, "no recorded request says what the answer is", contribution=label)
    return passed(row, f"{judged} recorded", contribution=label)


def _compared(place: int, request: Request, answer: object) -> Iterator[str]:
    if request.error:
        yield f"request {place + 1}: an answer instead of {request.error}"
    elif request.is_judged and not is_like(answer, request.expected):
        found, wanted = repr(answer)[:MAX_SHOWN], repr(request.expected)[:MAX_SHOWN]
        yield f"request {place + 1}: {found} instead of {wanted}"


def determinism(contributed: Contributed, label: str) -> Iterator[Finding]:
    """Make requests again, where a retry is allowed to."""
    row = "trial.determinism"
    if not contributed.requests:
        yield skipped(row, NOT_MADE, contribution=label)
        return
    if not contributed.provides.idempotent:
        yield skipped(row, "it does not say idempotent = true", contribution=label)
        return
    for place, request in enumerate(contributed.requests):
        answers = [_answer(contributed, request) for _ in range(AGAIN)]
        others = [answer for answer in answers if answer != answers[0]]
        if others:
            measured = f"request {place + 1}: {words(answers[0])}, and then {words(others[0])}"
            yield failed(row, measured, contribution=label)
            return
    made = f"{len(contributed.requests)} requests, {AGAIN} times"
    yield passed(row, made, contribution=label)


def bad_input(contributed: Contributed, label: str, *, compares: bool) -> Iterator[Finding]:
    """Pass values that are none of its kind; then a plain request must still work."""
    row = "trial.bad-input"
    strange = list(contributed.strange())
    if not strange:
        yield skipped(row, NOT_MADE, contribution=label)
        return
    before = _answer(contributed, contributed.requests[0])
    for request in strange:
        what = ", ".join(f"{name}={value!r}" for name, value in request.kwargs.items())[:MAX_SHOWN]
        try:
            answer = contributed.call(request)
        except Exception:  # noqa: BLE001, S112 - an error is what is asked for
            continue
        except SystemExit:
            yield failed(row, f"{what}: it asks the process to end", contribution=label)
            return
        if answer is None:
            yield failed(row, f"{what}: neither an answer nor an error", contribution=label)
            return
    after = _answer(contributed, contributed.requests[0])
    if compares and after != before:
        measured = "a plain request is answered otherwise afterwards"
        yield failed(row, measured, contribution=label)
        return
    yield passed(row, f"{len(strange)} values", contribution=label)


def cancel(contributed: Contributed, label: str, *, compares: bool) -> Iterator[Finding]:
    """Leave a stream after its first value; then a plain request must still work."""
    row = "trial.cancel"
    request = contributed.requests[0]
    stream = contributed.opened(request)
    if stream is None:
        yield skipped(row, "a call of it is ended with its worker", contribution=label)
        return
    before = _answer(contributed, request)
    try:
        next(stream, None)
        close = getattr(stream, "close", None)
        if close is not None:
            close()
    except Exception as error:  # noqa: BLE001 - whatever a plugin raises is a finding
        yield failed(row, f"when its reader goes: {told(error)}", contribution=label)
        return
    if compares and _answer(contributed, request) != before:
        yield failed(row, "the next one is answered otherwise", contribution=label)
        return
    yield passed(row, "left after the first value", contribution=label)


def _answer(contributed: Contributed, request: Request) -> bytes:
    try:
        return stable(contributed.call(request))
    except Exception as error:  # noqa: BLE001 - an error is an answer
        return told(error).encode()


def words(answer: bytes) -> str:
    """Return what `stable` made bytes of, as text, short."""
    try:
        return repr(msgspec.msgpack.decode(answer))[:60]
    except msgspec.MsgspecError:
        return answer.decode("utf-8", "replace")[:60]


def told(error: BaseException) -> str:
    """Return an error in one line."""
    text = error.problem if isinstance(error, OpenAutoGLMError) else str(error)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return f"{type(error).__name__}: {' '.join(lines)}"[:300]
