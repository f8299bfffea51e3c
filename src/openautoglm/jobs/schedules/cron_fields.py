"""The five fields of a cron expression, checked one by one so that an error names the field.

Owns what may stand in a field. Knows nothing of times.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from openautoglm.errors import ScheduleError

NICKNAMES: Final = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_MONTHS: Final = (
    "JAN",
    "FEB",
    "MAR",
    "APR",
    "MAY",
    "JUN",
    "JUL",
    "AUG",
    "SEP",
    "OCT",
    "NOV",
    "DEC",
)
_DAYS: Final = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_WEEKS: Final = 5  # a weekday is there at most so often in a month


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One of the five.

    Attributes:
        name: as errors call it.
        low: the least number.
        high: the greatest.
        names: what may be written for `first` and the numbers after it.
        first: the number of the first name.
    """

    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()
    first: int = 0

    @property
    def examples(self) -> str:
        """What may be written, for the fix."""
        named = f", or {self.names[0]} to {self.names[-1]}" if self.names else ""
        return f"write {self.low} to {self.high}{named}, *, */5, 1-3 or 1,2"


MINUTE: Final = Field(name="minute", low=0, high=59)
HOUR: Final = Field(name="hour", low=0, high=23)
DAY: Final = Field(name="day of month", low=1, high=31)
MONTH: Final = Field(name="month", low=1, high=12, names=_MONTHS, first=1)
WEEKDAY: Final = Field(name="day of week", low=0, high=7, names=_DAYS)
FIELDS: Final = (MINUTE, HOUR, DAY, MONTH, WEEKDAY)


def checked(expression: object) -> tuple[str, ...]:
    """Return the five fields of an expression, in capitals.

    Raises:
        ScheduleError: names the field that is wrong, and what may stand there.

    Example:
        >>> checked("30 1 * * mon-fri")
        ('30', '1', '*', '*', 'MON-FRI')
        >>> checked("61 * * * *")
        Traceback (most recent call last):
        openautoglm.errors.ScheduleError: [OAG807] minute: 61 is more than 59
          got: cron '61 * * * *'
          fix: write 0 to 59, *, */5, 1-3 or 1,2
    """
    text = expression.strip() if isinstance(expression, str) else ""
    parts = tuple(NICKNAMES.get(text.lower(), text).upper().split())
    if len(parts) != len(FIELDS):
        raise ScheduleError(
            f"cron: there are five fields, not {len(parts)}",
            got=f"cron {expression!r}",
            fix="write minute, hour, day of month, month and day of week, as in '30 1 * * *'; "
            f"or one of {', '.join(NICKNAMES)}",
        )
    for field, part in zip(FIELDS, parts, strict=True):
        problem = _problem(field, part)
        if problem:
            raise ScheduleError(
                f"{field.name}: {problem}", got=f"cron {expression!r}", fix=field.examples
            )
    return parts


def numbers(field: Field, part: str) -> frozenset[int]:
    """Return the numbers that a field which was checked stands for; for minutes and hours."""
    found: set[int] = set()
    for term in part.split(","):
        base, _, step = term.partition("/")
        low, dash, high = base.partition("-")
        if base == "*":
            first, last = field.low, field.high
        else:
            first = int(low)
            last = int(high) if dash else (field.high if step else first)
        found.update(range(first, last + 1, int(step or 1)))
    return frozenset(found)


def _problem(field: Field, part: str) -> str:
    """Return what is wrong with a field; empty where nothing is."""
    return next(filter(None, (_of_term(field, term) for term in part.split(","))), "")


def _of_term(field: Field, term: str) -> str:
    base, slash, step = term.partition("/")
    if slash and not _is_number(step):
        return f"the step `{step}` is no number"
    if slash and int(step) == 0:
        return "a step of 0 goes nowhere"
    if base == "*" or (not slash and _is_special(field, base)):
        return ""
    low, dash, high = base.partition("-")
    ends = (low, high) if dash else (low,)
    problem = next(filter(None, (_of_value(field, end) for end in ends)), "")
    if not problem and dash and _number(field, low) > _number(field, high):
        return f"{base} ends before it begins"
    return problem


def _is_special(field: Field, text: str) -> bool:
    """Say whether it is the last day, the last weekday, or a weekday of a certain week."""
    if field is DAY:
        return text in {"L", "LW"}
    if field is not WEEKDAY:
        return False
    day, hash_, week = text.partition("#")
    if hash_:
        return not _of_value(field, day) and _is_number(week) and 1 <= int(week) <= _WEEKS
    return text.endswith("L") and _is_number(text[:-1]) and int(text[:-1]) <= field.high


def _of_value(field: Field, text: str) -> str:
    if not text:
        return "nothing stands where a value should"
    if text in field.names:
        return ""
    if not _is_number(text):
        return (
            f"`{text}` is neither a number nor a name" if field.names else f"`{text}` is no number"
        )
    if int(text) > field.high:
        return f"{int(text)} is more than {field.high}"
    return f"{int(text)} is less than {field.low}" if int(text) < field.low else ""


def _number(field: Field, text: str) -> int:
    return field.names.index(text) + field.first if text in field.names else int(text)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()
