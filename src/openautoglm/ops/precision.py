"""What autocast does to the arguments of an operator, and the table a user may override.

Owns the policies' meaning and `PolicyTable`. Computes names of dtypes; casting is the caller's.
f64, f8, integers and bools are never cast: a policy speaks of f16, bf16 and f32.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, TypeAlias

from openautoglm.errors import OperatorDefinitionError
from openautoglm.ops.dtypes import listed
from openautoglm.ops.fields import check_name, shown
from openautoglm.ops.opdef import check_policy, check_policy_inputs
from openautoglm.registry import suggest

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from openautoglm.ops.opdef import Amp, OpDef, Policy

HALVES: Final = ("f16", "bf16")
CASTABLE: Final = (*HALVES, "f32")
WIDTHS: Final = ("f32", "f64")
"""What `promote` may widen to, narrow first."""

Choices: TypeAlias = Mapping[str, "Policy | Mapping[str, Policy]"]
"""A policy for each operator named, or one for each of its inputs (others: keep)."""


def cast_targets(
    policy: Policy | Sequence[Policy],
    dtypes: Sequence[str | None],
    autocast_dtype: str | None,
) -> tuple[str | None, ...]:
    """Return the dtype each argument is cast to, None where it is left as it is.

    Args:
        policy: one for all arguments, or one for each. `lower` casts to the autocast dtype, `fp32`
            to f32, `promote` to the widest dtype among the arguments it governs, `keep` nothing.
        dtypes: of each argument; None where it is absent.
        autocast_dtype: `f16` or `bf16`; None where autocast is off.

    Example:
        >>> cast_targets("promote", ["bf16", "f32", "i64"], "bf16")
        ('f32', None, None)
    """
    if autocast_dtype is None:
        return (None,) * len(dtypes)
    policies = (policy,) * len(dtypes) if isinstance(policy, str) else tuple(policy)
    pairs = tuple(zip(policies, dtypes, strict=True))
    widest = _widest({dtype for one, dtype in pairs if one == "promote"})
    targets: Mapping[Policy, str | None] = {
        "lower": autocast_dtype,
        "fp32": "f32",
        "promote": widest,
        "keep": None,
    }
    return tuple(_target(dtype, targets[one]) for one, dtype in pairs)


def _target(dtype: str | None, target: str | None) -> str | None:
    return target if dtype in CASTABLE and dtype != target else None


def _widest(dtypes: set[str | None]) -> str | None:
    wide = [dtype for dtype in WIDTHS if dtype in dtypes]
    if wide:
        return wide[-1]
    return "f32" if dtypes.issuperset(HALVES) else None  # neither half holds the other's values


def _check_choices(choices: object) -> None:
    if not isinstance(choices, Mapping):
        raise OperatorDefinitionError(
            "autocast policies are given by operator",
            got=shown(choices),
            fix='write them like {"mul": "fp32"}',
        )


def _frozen(choices: Choices) -> Mapping[str, Policy | Mapping[str, Policy]]:
    copied = {
        name: MappingProxyType(dict(choice)) if isinstance(choice, Mapping) else choice
        for name, choice in choices.items()
    }
    return MappingProxyType(copied)


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyTable:
    """The autocast policy of each operator.

    An operator named in `overrides` has that policy; else the one it was defined with; else the
    one `defaults` names; else `keep`.

    Attributes:
        overrides: what the user decided.
        defaults: what operators of well-known names have.

    Raises:
        OperatorDefinitionError: a policy or an operator's name that cannot be.

    Example:
        >>> from openautoglm.ops.opdef import OpDef
        >>> linear = OpDef.from_schema("linear(Tensor x, Tensor weight) -> Tensor")
        >>> PolicyTable().policies(linear)
        ('lower', 'lower')
        >>> PolicyTable().overriding({"linear": {"x": "fp32"}}).policies(linear)
        ('fp32', 'keep')
    """

    overrides: Choices = field(default_factory=dict, hash=False)
    defaults: Choices = field(default_factory=lambda: DEFAULTS, hash=False)

    def __post_init__(self) -> None:
        for choices in (self.overrides, self.defaults):
            _check_choices(choices)
            for name, choice in choices.items():
                where = f"autocast policy of `{name}`"
                check_name(name, where, reserved={})
                check_policy(choice, where)
                if choice is None:
                    raise OperatorDefinitionError(
                        f"{where}: there is none", got="None", fix="name a policy, or drop the line"
                    )
        object.__setattr__(self, "overrides", _frozen(self.overrides))
        object.__setattr__(self, "defaults", _frozen(self.defaults))

    def overriding(self, choices: Choices, *, known: Collection[str] | None = None) -> PolicyTable:
        """Return the table with these decisions on top of its own.

        Args:
            choices: a policy by operator, or by operator and input.
            known: the operators there are; where given, any other name is refused.

        Raises:
            OperatorDefinitionError: a name or a policy that cannot be.
        """
        _check_choices(choices)
        unknown = [name for name in choices if known is not None and name not in known]
        if unknown:
            names = tuple(sorted(known or ()))
            raise OperatorDefinitionError(
                f"there is an autocast policy for {listed(unknown)}, which is no operator",
                got=f"operators: {listed(names)}",
                fix=suggest(unknown[0], names) or "check the name, or drop the line",
            )
        return PolicyTable(overrides={**self.overrides, **choices}, defaults=self.defaults)

    def policies(self, opdef: OpDef) -> tuple[Policy, ...]:
        """Return the policy of each input of an operator, in order.

        Raises:
            OperatorDefinitionError: an override names an input that the operator does not have.
        """
        choice = self._choice(opdef)
        check_policy_inputs(choice, opdef.input_names, f"autocast policy of `{opdef.name}`")
        if isinstance(choice, Mapping):
            return tuple(choice.get(name, "keep") for name in opdef.input_names)
        return (choice or "keep",) * len(opdef.inputs)

    def _choice(self, opdef: OpDef) -> Amp:
        chosen = self.overrides.get(opdef.name)
        if chosen is None:
            chosen = opdef.amp
        return self.defaults.get(opdef.name) if chosen is None else chosen


def _defaults() -> Choices:
    lower = (
        *("matmul", "linear", "bilinear", "bmm", "addmm", "baddbmm", "einsum"),
        *("conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d"),
        *("attention", "scaled_dot_product_attention", "gru_cell", "lstm_cell"),
    )
    fp32 = (
        *("softmax", "log_softmax", "softmax_cross_entropy", "cross_entropy", "nll_loss"),
        *("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "kl_div", "ctc_loss"),
        *("binary_cross_entropy", "cosine_similarity", "logsumexp", "norm", "cumsum", "prod"),
        *("batch_norm", "layer_norm", "group_norm", "instance_norm", "rms_norm"),
        *("rms_norm_backward", "exp", "log", "pow", "rsqrt", "sum"),
    )
    promote = (
        *("add", "sub", "mul", "div", "scale_add", "minimum", "maximum", "where"),
        *("addcmul", "addcdiv", "lerp", "cat", "stack", "bias_gelu"),
    )
    table: dict[str, Policy] = dict.fromkeys(lower, "lower")
    table |= dict.fromkeys(fp32, "fp32")
    table |= dict.fromkeys(promote, "promote")
    return MappingProxyType(table)


DEFAULTS: Final[Choices] = _defaults()
"""Matrix products, convolutions and attention in half; losses, norms and softmax in f32;
elementwise operators in the widest dtype of their arguments."""

_table: ContextVar[PolicyTable] = ContextVar("openautoglm_ops_policies")
in_force: str = ""
"""Names the overrides in force; compiled graphs are guarded by it, so that one that was made under
other overrides is not used. Process-wide: threads that run graphs under different overrides at the
same time must not share compiled functions."""
_DEFAULT_TABLE: Final = PolicyTable()


def current_table() -> PolicyTable:
    """Return the table in force in this thread or task."""
    return _table.get(_DEFAULT_TABLE)


@contextmanager
def using(table: PolicyTable) -> Iterator[PolicyTable]:
    """Put a table in force inside the block, in this thread or task: the setting of one run."""
    global in_force  # noqa: PLW0603 - Dynamo guards module globals, not context variables
    token, outer = _table.set(table), in_force
    in_force = repr(sorted((name, str(choice)) for name, choice in table.overrides.items()))
    try:
        yield table
    finally:
        in_force = outer
        _table.reset(token)


@contextmanager
def override(choices: Choices, *, known: Collection[str] | None = None) -> Iterator[PolicyTable]:
    """Override policies inside the block, on top of those in force; arguments as `overriding`.

    Example:
        >>> with override({"mul": "fp32"}) as table:
        ...     table.overrides["mul"]
        'fp32'
    """
    with using(current_table().overriding(choices, known=known)) as table:
        yield table
