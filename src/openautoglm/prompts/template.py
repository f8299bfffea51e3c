"""`PromptTemplate`: text with variables, checked when it is made, filled as fast as `str.format`.

Owns checking and filling. Knows nothing of files, versions or models.
"""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Generic, TypeAlias, cast, final, overload

from openautoglm.errors import (
    OpenAutoGLMError,
    TemplateSyntaxError,
    TemplateValueError,
    TemplateVariableError,
)
from openautoglm.prompts.messages import ChatMessage, Prompt, Role, checked_messages
from openautoglm.prompts.problem import Kind, Problem, excerpt
from openautoglm.prompts.syntax import Parsed, escape, parse, undeclared, unused

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    P_co = TypeVar("P_co", covariant=True, bound=Prompt, default=Prompt)
else:
    from typing import TypeVar

    P_co = TypeVar("P_co", covariant=True)

__all__ = ["ChatMessage", "Prompt", "PromptTemplate", "Role", "escape"]

_GOT = len("  got: ")  # where an excerpt starts in a printed error
Pieces: TypeAlias = tuple[list[str], tuple[tuple[int, str], ...]]

_COMMON = frozenset({str, int, float, bool})  # never refused; asked first because it is fast
_VARIABLE_KINDS = {Kind.UNDECLARED, Kind.UNUSED}


@final
class PromptTemplate(Generic[P_co]):
    """Hold a text, or chat messages, with `{name}` wherever a value goes.

    Immutable. Two templates with the same text and variables are equal. `{{` and `}}` are the
    braces themselves; `escape` doubles those of any text. Nothing else is special: attributes,
    indexes, conversions and format specifications are refused.

    Args:
        template: one text, or messages such as `{"role": "user", "content": "…"}`.
        input_variables: the names used in it, each once.

    Raises:
        TemplateSyntaxError: the text cannot be read; line, column and fix are named.
        TemplateVariableError: the declared names are not the names used.

    Example:
        >>> ask = PromptTemplate(template="摘要:{content}", input_variables=["content"])
        >>> ask.format(content="人工智能{正在}发展")
        '摘要:人工智能{正在}发展'
        >>> chat = PromptTemplate([{"role": "user", "content": "{q}?"}], ["q"])
        >>> chat.format(q="why")
        [{'role': 'user', 'content': 'why?'}]
    """

    __slots__ = ("_count", "_messages", "_pieces", "_text", "_variables")

    _text: str | None
    _messages: tuple[tuple[Role, str], ...]
    _variables: tuple[str, ...]
    _pieces: tuple[Pieces, ...]  # one for each message

    @overload
    def __init__(
        self: PromptTemplate[str], template: str, input_variables: Sequence[str]
    ) -> None: ...

    @overload
    def __init__(
        self: PromptTemplate[list[ChatMessage]],
        template: Sequence[Mapping[str, str]] | Sequence[ChatMessage],
        input_variables: Sequence[str],
    ) -> None: ...

    def __init__(self, template: object, input_variables: object) -> None:
        variables = _checked_variables(input_variables)
        if isinstance(template, str):
            self._text = template
            self._messages = (("user", template),)
        elif isinstance(template, Sequence) and not isinstance(template, (bytes, bytearray)):
            self._text = None
            self._messages = checked_messages(template, TemplateSyntaxError)
        else:
            raise TemplateSyntaxError(
                "a template must be text or a list of messages",
                got=type(template).__name__,
                fix="put the message in a list: [{…}]"
                if isinstance(template, Mapping)
                else 'pass a str such as "摘要:{content}"',
            )
        texts = [text for _, text in self._messages]
        found = _checked(texts, variables, is_chat=self._text is None)
        self._pieces = tuple(map(_cut, texts, found))
        self._variables = variables
        self._count = len(variables)

    @property
    def template(self) -> P_co:
        """Return the template as it was given: the text, or a fresh list of messages."""
        if self._text is not None:
            return cast("P_co", self._text)
        return cast("P_co", [ChatMessage(role=r, content=c) for r, c in self._messages])

    @property
    def input_variables(self) -> tuple[str, ...]:
        """Return the names declared, in the order they were given."""
        return self._variables

    def format(self, /, **values: object) -> P_co:
        """Fill in every variable.

        A value that is not text is turned into text by `str`. Braces in a value are text.

        Raises:
            TemplateValueError: a value is missing, not expected, None or bytes.
        """
        if len(values) != self._count:
            raise self._mismatch(values)
        # Each variable is used: with as many values as variables, a wrong name is a missing one.
        try:
            if self._text is None:
                return self._filled_messages(values)  # type: ignore[return-value] # P_co is messages
            cut, slots = self._pieces[0]  # `_filled`, inlined: the call is a tenth of the time
            pieces = cut[:]
            for index, name in slots:
                value = values[name]
                pieces[index] = value if type(value) is str else _as_text(name, value)
        except KeyError:
            raise self._mismatch(values) from None
        return "".join(pieces)  # type: ignore[return-value] # P_co is str where there is one text

    def format_messages(self, /, **values: object) -> list[ChatMessage]:
        """Fill in every variable and return messages; one text becomes one user message."""
        filled = cast("Prompt", self.format(**values))
        return [ChatMessage(role="user", content=filled)] if isinstance(filled, str) else filled

    def partial(self, /, **values: object) -> PromptTemplate[P_co]:
        """Return a template with some variables filled in.

        Raises:
            TemplateValueError: a value is not expected, None or bytes, or holds a variable that is
                left in full-width braces, which no template may.

        Example:
            >>> PromptTemplate("{tone}: {content}", ["tone", "content"]).partial(tone="short")
            PromptTemplate('short: {content}', ['content'])
        """
        if not values.keys() <= set(self._variables):
            raise self._mismatch({**dict.fromkeys(self._variables, ""), **values})
        fills = {name: f"{{{name}}}" for name in self._variables}
        fills |= {name: escape(_as_text(name, value)) for name, value in values.items()}
        filled = [(role, _refilled(text, fills)) for role, text in self._messages]
        rest = [name for name in self._variables if name not in values]
        template = (
            filled[0][1]
            if self._text is not None
            else [{"role": role, "content": text} for role, text in filled]
        )
        try:
            return cast("PromptTemplate[P_co]", PromptTemplate(cast("str", template), rest))
        except TemplateSyntaxError as cause:
            raise TemplateValueError(
                f"a value reads as a variable: {cause.problem}",
                got=cause.got,
                fix="fill in all values at once with `format`",
            ) from cause

    def _filled_messages(self, values: Mapping[str, object]) -> list[ChatMessage]:
        return [
            ChatMessage(role=role, content=_filled(pieces, values))
            for (role, _), pieces in zip(self._messages, self._pieces, strict=True)
        ]

    def _mismatch(self, values: Mapping[str, object]) -> TemplateValueError:
        missing = [name for name in self._variables if name not in values]
        extra = [name for name in values if name not in self._variables]
        problems = [f"no value for `{name}`" for name in missing]
        problems += [f"no variable is called `{name}`" for name in extra]
        known = f"values for {_listed(values)}; the template has {_listed(self._variables)}"
        fix = f"pass {_listed(missing)}" if missing else f"leave out {_listed(extra)}"
        for name in extra:
            near = difflib.get_close_matches(name, missing or self._variables, n=1)
            if near:
                fix = f"did you mean `{near[0]}` where `{name}` is passed?"
                break
        return TemplateValueError(" and ".join(problems), got=known, fix=fix)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PromptTemplate):
            return NotImplemented
        return self._identity() == other._identity()

    def __hash__(self) -> int:
        return hash(self._identity())

    def __repr__(self) -> str:
        return f"PromptTemplate({self.template!r}, {list(self._variables)!r})"

    def __reduce__(self) -> tuple[object, ...]:
        return PromptTemplate, (self.template, self._variables)

    def _identity(self) -> tuple[object, ...]:
        return self._text is None, self._messages, self._variables


def _checked_variables(names: object) -> tuple[str, ...]:
    if isinstance(names, str) or not isinstance(names, Sequence):
        shown = f'["{names}"]' if isinstance(names, str) else '["content"]'
        raise TemplateVariableError(
            "input_variables must be a list of names", got=repr(names), fix=f"write {shown}"
        )
    for index, name in enumerate(names):
        where = f"input_variables[{index}]"
        if not isinstance(name, str):
            raise TemplateVariableError(
                f"{where} is not text", got=repr(name), fix="write the name in quotes"
            )
        if not name.isidentifier():
            bare = name.strip().strip("{}｛｝").strip()
            fix = f'write "{bare}"' if bare.isidentifier() else "use letters, digits and `_`"
            raise TemplateVariableError(f"{where} is not a variable name", got=repr(name), fix=fix)
        normal = unicodedata.normalize("NFKC", name)
        if normal != name:
            raise TemplateVariableError(
                f"{where} holds look-alike characters", got=repr(name), fix=f'write "{normal}"'
            )
        if name in names[:index]:
            raise TemplateVariableError(
                f"{where} repeats `{name}`", got=repr(list(names)), fix="name each variable once"
            )
    return tuple(names)


def _checked(texts: Sequence[str], variables: Sequence[str], *, is_chat: bool) -> list[Parsed]:
    """Read the texts or raise the first fault; faults of reading come before those of names."""
    found = [parse(text, variables) for text in texts]
    faults = [(n, p) for n, parsed in enumerate(found) for p in parsed.problems]
    if not faults:
        faults = [(n, p) for n, parsed in enumerate(found) for p in undeclared(parsed, variables)]
    if not faults:
        faults = _unused(texts, found, variables)
    if faults:
        number, problem = faults[0]
        raise _error(texts[number], problem, number if is_chat else None, len(faults) - 1)
    return found


def _cut(text: str, parsed: Parsed) -> Pieces:
    """Cut a text at its variables: the pieces with gaps, and which variable goes into which gap."""
    pieces: list[str] = []
    slots: list[tuple[int, str]] = []
    index = 0
    for field in parsed.fields:
        pieces += [_unescaped(text[index : field.start]), ""]
        slots.append((len(pieces) - 1, field.name))
        index = field.end
    return [*pieces, _unescaped(text[index:])], tuple(slots)


def _filled(pieces: Pieces, values: Mapping[str, object]) -> str:
    cut, slots = pieces
    filled = cut[:]
    for index, name in slots:
        filled[index] = _as_text(name, values[name])
    return "".join(filled)


def _unescaped(text: str) -> str:
    return text.replace("{{", "{").replace("}}", "}")


def _unused(
    texts: Sequence[str], found: Sequence[Parsed], variables: Sequence[str]
) -> list[tuple[int, Problem]]:
    everything = Parsed(tuple(field for parsed in found for field in parsed.fields), ())
    faults = []
    for name in variables:
        for number, text in enumerate(texts):
            fault = next(unused(text, everything, [name]), None)
            if fault is not None and (fault.start is not None or number == len(texts) - 1):
                faults.append((number, fault))
                break
    return faults


def _error(text: str, problem: Problem, number: int | None, more: int) -> OpenAutoGLMError:
    where = problem.place(text)
    parts = [f"message {number + 1}"] if number is not None and where else []
    if where is not None:
        parts += [f"line {where[0]}", f"column {where[1]}"]
    prefix = f"{', '.join(parts)}: " if parts else ""
    also = f" (and {more} more)" if more else ""
    kind = TemplateVariableError if problem.kind in _VARIABLE_KINDS else TemplateSyntaxError
    shown = None
    if problem.start is not None and problem.end is not None:
        shown = excerpt(text, problem.start, problem.end, indent=_GOT)
    return kind(f"{prefix}{problem.says}{also}", got=shown, fix=problem.fix)


def _as_text(name: str, value: object) -> str:
    if type(value) not in _COMMON:
        _refuse_no_text(name, value)
    try:
        return str(value)
    except Exception as cause:
        raise TemplateValueError(
            f"the value of `{name}` cannot be turned into text",
            got=f"{type(value).__name__}, {type(cause).__name__}",
            fix="pass text",
        ) from cause


def _refuse_no_text(name: str, value: object) -> None:
    if value is None:
        raise TemplateValueError(
            f"the value of `{name}` is None", fix='pass "" if nothing is what you mean'
        )
    if isinstance(value, (bytes, bytearray, memoryview)):
        raise TemplateValueError(
            f"the value of `{name}` is bytes, not text",
            got=type(value).__name__,
            fix='decode it first: value.decode("utf-8")',
        )


def _refilled(text: str, fills: Mapping[str, str]) -> str:
    pieces = []
    index = 0
    for field in parse(text).fields:
        pieces += [text[index : field.start], fills[field.name]]
        index = field.end
    return "".join([*pieces, text[index:]])


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "none"
