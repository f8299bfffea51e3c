"""Reads the declaration of an operator into inputs, attributes, outputs; `schema` has the grammar.

Guards against text that is not of the grammar; whether the parts agree is the operator's to say.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, NoReturn, final

from openautoglm.errors import OperatorDefinitionError
from openautoglm.ops.arguments import LEADING, REQUIRED, Attr, In, Out

if TYPE_CHECKING:
    from openautoglm.ops.arguments import AttrType, AttrValue, Shape

TOKEN: Final = re.compile(
    r"\s*(?:(?P<number>[+-]?(?:\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?))"
    r"|(?P<name>[A-Za-z_]\w*)"
    r"|(?P<string>\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*')"
    r"|(?P<mark>\.\.\.|->|[()\[\]<>{},=?|*!]))"
)
ATTR_TYPES: Final[dict[str, AttrType]] = {"float": float, "int": int, "bool": bool, "str": str}
EXAMPLE: Final = "rms_norm(Tensor x[..., n], Tensor? weight[n], float eps=1e-6) -> Tensor y[..., n]"

Kind = Literal["number", "name", "string", "mark", "end"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """The parts of an operator as its text gives them."""

    name: str
    inputs: tuple[In, ...]
    attrs: tuple[Attr, ...]
    outputs: tuple[Out, ...]


@dataclass(frozen=True, slots=True)
class Token:
    """One word of the text and where it starts."""

    kind: Kind
    text: str
    column: int


@dataclass(slots=True)
class _Arguments:
    inputs: list[In] = field(default_factory=list)
    attrs: list[Attr] = field(default_factory=list)


def read_declaration(text: str) -> Declaration:
    """Read an operator's declaration.

    Raises:
        OperatorDefinitionError: the text is not of the grammar; the message points at the column.

    Example:
        >>> read_declaration("neg(Tensor x) -> Tensor y like x").outputs[0].like
        'x'
    """
    given: object = text
    if not isinstance(given, str):
        raise OperatorDefinitionError(
            "an operator's declaration is a text", got=repr(given), fix=f"write it like {EXAMPLE}"
        )
    return _Reader(text).declaration()


@final
class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = list(_tokens(text))
        self._at = 0

    def declaration(self) -> Declaration:
        name = self._name("the operator's name")
        arguments = self._arguments()
        self._take("->")
        outputs = self._outputs()
        if self._next.kind != "end":
            self._refuse("the end")
        return Declaration(
            name=name,
            inputs=tuple(arguments.inputs),
            attrs=tuple(arguments.attrs),
            outputs=outputs,
        )

    def _arguments(self) -> _Arguments:
        found = _Arguments()
        self._take("(")
        while not self._took(")"):
            if found.inputs or found.attrs:
                self._take(",")
            if self._next.text == "Tensor":
                if found.attrs:
                    self._refuse("attributes only, since inputs come first")
                found.inputs.append(self._input())
            else:
                found.attrs.append(self._attr())
        return found

    def _input(self) -> In:
        self._take("Tensor")
        if self._next.text == "(":
            self._refuse("an input without alias: an operator writes its outputs only")
        dtypes = self._dtypes()
        optional, many = self._took("?"), False
        if not optional and self._took("["):
            self._take("]")
            many = True
        name = self._name("the input's name")
        shape = self._shape()
        contiguous = self._took("contiguous")
        like = self._name("an input") if self._took("like") else None
        if optional and self._took("="):
            self._take("None")
        return In(
            name,
            dtypes=dtypes,
            shape=shape,
            layout="contiguous" if contiguous else "strided",
            optional=optional,
            many=many,
            like=like,
        )

    def _dtypes(self) -> tuple[str, ...]:
        if not self._took("<"):
            return ()
        names = [self._name("a dtype")]
        while not self._took(">"):
            if not self._took("|"):
                self._take(",")
            names.append(self._name("a dtype"))
        return tuple(names)

    def _shape(self) -> Shape | None:
        if not self._took("["):
            return None
        sizes: list[str | int] = []
        while not self._took("]"):
            if sizes:
                self._take(",")
            sizes.append(self._size())
        return tuple(sizes)

    def _size(self) -> str | int:
        token = self._next
        if token.text == LEADING or token.kind == "name":
            self._at += 1
            return token.text
        if token.text.isdecimal():
            self._at += 1
            return int(token.text)
        return self._refuse("a size: a symbol, a number, or `...`")

    def _attr(self) -> Attr:
        kind = self._next.text
        if kind not in ATTR_TYPES:
            self._refuse("Tensor, float, int, bool or str")
        self._at += 1
        name = self._name("the attribute's name")
        default = self._value() if self._took("=") else REQUIRED
        low: float | None = None
        high: float | None = None
        choices: tuple[AttrValue, ...] | None = None
        if self._took("in"):
            if self._took("{"):
                choices = self._choices()
            else:
                low, high = self._range()
        return Attr(name, ATTR_TYPES[kind], default, low=low, high=high, choices=choices)

    def _choices(self) -> tuple[AttrValue, ...]:
        values = [self._value()]
        while not self._took("}"):
            self._take(",")
            values.append(self._value())
        return tuple(values)

    def _range(self) -> tuple[float | None, float | None]:
        self._take("[")
        low = self._limit()
        self._take(",")
        high = self._limit()
        self._take("]")
        return low, high

    def _limit(self) -> float | None:
        if self._took("*"):
            return None
        value = self._value()
        return self._refuse("a number or `*`", back=1) if isinstance(value, str) else value

    def _value(self) -> AttrValue:
        token = self._next
        self._at += 1
        if token.text in ("True", "False"):
            return token.text == "True"
        if token.kind == "number":
            whole = token.text.lstrip("+-").isdecimal()
            return int(token.text) if whole else float(token.text)
        if token.kind == "string":
            return str(ast.literal_eval(token.text))
        return self._refuse("a value: a number, True, False or a string", back=1)

    def _outputs(self) -> tuple[Out, ...]:
        if not self._took("("):
            return (self._output("out"),)
        found = [self._output("out0")]
        while not self._took(")"):
            self._take(",")
            found.append(self._output(f"out{len(found)}"))
        return tuple(found)

    def _output(self, unnamed: str) -> Out:
        self._take("Tensor")
        dtype: str | None = None
        if self._took("<"):
            dtype = self._name("a dtype or an input")
            self._take(">")
        name = self._name("the output's name") if self._is_output_name() else unnamed
        shape = self._shape()
        like = self._name("an input") if self._took("like") else None
        broadcast = self._names() if self._took("broadcast") else None
        return Out(name, like=like, shape=shape, dtype=dtype, broadcast=broadcast)

    def _is_output_name(self) -> bool:
        return self._next.kind == "name"

    def _names(self) -> tuple[str, ...]:
        self._take("(")
        names = [self._name("an input")]
        while not self._took(")"):
            self._take(",")
            names.append(self._name("an input"))
        return tuple(names)

    @property
    def _next(self) -> Token:
        return self._tokens[self._at]

    def _took(self, text: str) -> bool:
        token = self._next
        if token.text != text or token.kind not in ("mark", "name"):
            return False
        self._at += 1
        return True

    def _take(self, text: str) -> None:
        if not self._took(text):
            self._refuse(f"`{text}`")

    def _name(self, what: str) -> str:
        token = self._next
        if token.kind != "name":
            self._refuse(what)
        self._at += 1
        return token.text

    def _refuse(self, expected: str, *, back: int = 0) -> NoReturn:
        _refuse(self._text, self._tokens[self._at - back].column, expected)


def _tokens(text: str) -> list[Token]:
    tokens: list[Token] = []
    at = 0
    end = len(text.rstrip())
    while at < end:
        match = TOKEN.match(text, at)
        if match is None:
            start = len(text) - len(text[at:].lstrip())
            _refuse(text, start, "a name, a number, a string or a mark")
        kind = _kind(match)
        tokens.append(Token(kind, match.group(kind), match.start(kind)))
        at = match.end()
    return [*tokens, Token("end", "", len(text))]


def _kind(match: re.Match[str]) -> Kind:
    for kind in ("number", "name", "string"):
        if match.group(kind) is not None:
            return kind
    return "mark"


def _refuse(text: str, column: int, expected: str) -> NoReturn:
    raise OperatorDefinitionError(
        f"the schema of an operator cannot be read: expected {expected} in column {column + 1}",
        got=f"{text[:column]}»{text[column:]}",
        fix=f"write it like {EXAMPLE}",
    )
