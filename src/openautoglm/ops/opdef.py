"""The contract of an operator, as plain data.

Owns `OpDef`, `Backward` and the names of the mixed-precision policies. Knows no kernel, no array
library and no registry.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, asdict, dataclass, field
from types import MappingProxyType
from typing import Final, Literal, Self, TypeAlias, TypedDict, Unpack, get_args

from openautoglm.errors import OperatorDefinitionError
from openautoglm.ops.arguments import ArraySpec, Attr, AttrValue, In, Out
from openautoglm.ops.contract import contract_hash
from openautoglm.ops.definition import (
    check_attributes,
    check_callable,
    check_counts,
    check_distinct,
    check_no_rules,
    check_operator_name,
    check_outputs,
    read_parts,
    resolve_inputs,
)
from openautoglm.ops.dtypes import listed
from openautoglm.ops.fields import check_field, check_function, read_texts, shown
from openautoglm.ops.schema import declaration, torch_schema
from openautoglm.ops.schema_reader import read_declaration
from openautoglm.registry import suggest

Policy: TypeAlias = Literal["lower", "fp32", "promote", "keep"]
"""What autocast does to an array: cast to the half dtype, to f32, to the widest one, nothing."""
POLICIES: Final[tuple[Policy, ...]] = get_args(Policy)

InputSpec: TypeAlias = ArraySpec | tuple[ArraySpec, ...] | None
"""An array, an absent optional input, or a list of arrays."""
Infer: TypeAlias = Callable[
    [tuple[InputSpec, ...], Mapping[str, AttrValue]], Sequence[ArraySpec] | ArraySpec
]
SAVE_EXPECTED: Final = 'save is a tuple of names: ("x",)'
Amp: TypeAlias = Policy | Mapping[str, Policy] | None


@dataclass(frozen=True, slots=True)
class Backward:
    """How gradients are made; by operators only, or second derivatives go wrong.

    Attributes:
        function: `function(*output gradients, *saved, *attributes)` returns one gradient for each
            input in order (alone where there is one input), None where there is none.
        save: inputs and outputs kept from forward, in the order the function takes them.
    """

    function: Callable[..., object]
    save: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_function("a backward", "function", self.function)
        object.__setattr__(self, "save", read_texts(self.save, "a backward", SAVE_EXPECTED))


class OpDefOptions(TypedDict, total=False):
    """What a schema text does not say of an operator."""

    version: int
    infer: Infer | None
    reference: Callable[..., object] | None
    amp: Amp
    backward: Backward | None
    doc: str


@dataclass(frozen=True, slots=True)
class OpDef:
    """The contract of one operator.

    Attributes:
        name: an identifier.
        version: counted from 1; a changed contract is a new version.
        inputs: with their dtypes and `like` filled in, so that readers need no defaults.
        attrs: those without default first.
        outputs: one broadcast of all inputs where none is given; always contiguous.
        infer: `infer(specs, attributes by name)` returns the outputs' `ArraySpec`, for shapes that
            rules cannot say; it raises ValueError to refuse a call.
        reference: `reference(*inputs, *attributes)` returns the outputs, a tuple where there are
            several: the semantics, last fallback, oracle.
        amp: the autocast policy, or one by input (others: keep); None leaves it to the policy
            table in force.
        backward: None where nothing can be differentiated.
        doc: what it computes, for people.

    Raises:
        OperatorDefinitionError: the definition contradicts itself.

    Example:
        >>> scale = OpDef("scale", inputs=[In("x")], attrs=[Attr("by", float, 2.0)])
        >>> scale.schema()
        '(Tensor x, float by=2.0) -> Tensor'
    """

    name: str
    _: KW_ONLY
    version: int = 1
    inputs: Sequence[In] = ()
    attrs: Sequence[Attr] = ()
    outputs: Sequence[Out] = (Out("out"),)
    infer: Infer | None = None
    reference: Callable[..., object] | None = None
    amp: Amp = field(default=None, hash=False)
    backward: Backward | None = None
    doc: str = ""

    def __post_init__(self) -> None:
        check_operator_name(self.name, self.version)
        for sequence in ("inputs", "attrs", "outputs"):
            parts = read_parts(self.name, sequence, getattr(self, sequence))
            object.__setattr__(self, sequence, parts)
        check_counts(self.name, self.inputs, self.outputs)
        check_distinct(self.name, (*self.input_names, *self.attr_names, *self.output_names))
        object.__setattr__(self, "inputs", resolve_inputs(self.name, self.inputs))
        check_attributes(self.name, self.attrs)
        if self.infer is None:
            check_outputs(self.name, self.inputs, self.outputs)
        else:
            check_no_rules(self.name, self.outputs)
        where = f"operator `{self.name}`"
        check_field(where, "doc", self.doc, holds=isinstance(self.doc, str), expected="a text")
        _check_functions(self)
        if isinstance(self.amp, Mapping):
            object.__setattr__(self, "amp", MappingProxyType(dict(self.amp)))
        check_policy(self.amp, where)
        check_policy_inputs(self.amp, self.input_names, where)

    @classmethod
    def from_schema(cls, text: str, **options: Unpack[OpDefOptions]) -> Self:
        """Read the operator's name, inputs, attributes and outputs from its declaration.

        Example:
            >>> norm = OpDef.from_schema("norm(Tensor x[..., n], float eps=1e-6) -> Tensor y[...]")
            >>> norm.outputs[0].shape
            ('...',)
        """
        parts = read_declaration(text)
        check_options(parts.name, options)
        return cls(
            parts.name,
            inputs=parts.inputs,
            attrs=parts.attrs,
            outputs=parts.outputs,
            **options,
        )

    @property
    def input_names(self) -> tuple[str, ...]:
        """The names of the inputs, in order."""
        return tuple(part.name for part in self.inputs)

    @property
    def attr_names(self) -> tuple[str, ...]:
        """The names of the attributes, in order."""
        return tuple(attr.name for attr in self.attrs)

    @property
    def output_names(self) -> tuple[str, ...]:
        """The names of the outputs, in order."""
        return tuple(out.name for out in self.outputs)

    @property
    def contract_hash(self) -> str:
        """The sha256, in hex, of everything here but `doc`."""
        named = ("name", "version", "infer", "reference", "amp", "backward")
        parts: dict[str, object] = {field: getattr(self, field) for field in named}
        for sequence in ("inputs", "attrs", "outputs"):
            parts[sequence] = [asdict(part) for part in getattr(self, sequence)]
        if self.backward is not None:
            parts["backward"] = (self.backward.function, self.backward.save)
        return contract_hash(parts)

    def schema(self) -> str:
        """Return torch's schema of the operator, without its name."""
        return torch_schema(self.inputs, self.attrs, self.outputs)

    def declaration(self) -> str:
        """Return the text from which `from_schema` reads the same inputs, attributes, outputs."""
        return declaration(self.name, self.inputs, self.attrs, self.outputs)


def check_options(name: object, options: Mapping[str, object]) -> None:
    """Refuse an option that an operator does not have."""
    known = tuple(OpDefOptions.__annotations__)
    unknown = [option for option in options if option not in known]
    if unknown:
        raise OperatorDefinitionError(
            f"operator `{name}`: there is no option {listed(unknown)}",
            got=f"there is {listed(known)}",
            fix=suggest(unknown[0], known) or "drop it",
        )


def check_policy(amp: Amp, where: str) -> None:
    """Refuse an autocast policy that is none."""
    policies = tuple(amp.values()) if isinstance(amp, Mapping) else (amp,)
    for policy in policies:
        given: object = policy
        if given is not None and not (isinstance(given, str) and given in POLICIES):
            raise OperatorDefinitionError(
                f"{where}: an autocast policy is {listed(POLICIES, last='or')}",
                got=shown(given),
                fix="use one of these, or leave amp out",
            )


def check_policy_inputs(amp: Amp, inputs: Sequence[str], where: str) -> None:
    """Refuse a policy for an input that there is not."""
    unknown = [n for n in amp if n not in inputs] if isinstance(amp, Mapping) else []
    if unknown:
        raise OperatorDefinitionError(
            f"{where}: there is an autocast policy for {listed(map(str, unknown))}, which is no "
            "input",
            got=f"inputs: {listed(inputs)}",
            fix="name inputs only",
        )


def _check_functions(opdef: OpDef) -> None:
    where = f"operator `{opdef.name}`"
    if opdef.infer is not None:
        check_callable(f"{where}: infer", opdef.infer, ("specs", "attrs"))
    if opdef.reference is not None:
        arguments = (*opdef.input_names, *opdef.attr_names)
        check_callable(f"{where}: reference", opdef.reference, arguments)
    if opdef.backward is not None:
        is_backward = isinstance(opdef.backward, Backward)
        check_field(
            where, "backward", opdef.backward, holds=is_backward, expected="an `ops.Backward`"
        )
        _check_backward(opdef, opdef.backward, where)


def _check_backward(opdef: OpDef, backward: Backward, where: str) -> None:
    save = backward.save
    unknown = [n for n in save if n not in (*opdef.input_names, *opdef.output_names)]
    if unknown:
        raise OperatorDefinitionError(
            f"{where}: backward saves {listed(unknown)}, which is no input or output",
            got=f"inputs: {listed(opdef.input_names)}; outputs: {listed(opdef.output_names)}",
            fix="save inputs and outputs only; attributes are passed anyway",
        )
    gradients = tuple(f"grad_{name}" for name in opdef.output_names)
    arguments = (*gradients, *save, *opdef.attr_names)
    check_callable(f"{where}: backward", backward.function, arguments)
