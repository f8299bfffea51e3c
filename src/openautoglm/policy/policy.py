"""A policy: rules loaded and checked, and the decisions they come to.

Owns `Policy` and `Decision`. Denies by default: only a rule `allow` that is exactly true, with no
reason to deny beside it, allows. It guards against rules that hang, crash or were half understood,
not against rules that allow what they should not.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, final

from openautoglm.errors import PolicyError
from openautoglm.policy import plan, sources
from openautoglm.policy.document import Limits, to_text
from openautoglm.policy.process import EvaluatingProcess
from openautoglm.policy.sources import Sources

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping
    from types import TracebackType

    from openautoglm.policy.document import Json

DEFAULT_RULES: Final = Path(__file__).with_name("rules")
"""The folder of the rules shipped with the package."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What the rules decided.

    Attributes:
        allow: whether it may happen.
        reasons: why not, sorted; empty where `allow`.
        rules: digest of the rules that decided.
    """

    allow: bool
    reasons: tuple[str, ...]
    rules: str


@final
class Policy:
    r"""Rules in Rego, ready to decide; safe to use from several threads, which take turns.

    Holds a child process: close it, or use it in a `with`.

    Example:
        >>> rules = 'package door\nimport rego.v1\ndefault allow := false\n'
        >>> rules += 'allow if input.key == "brass"\n'
        >>> with Policy.from_text(rules) as policy:
        ...     policy.decide({"key": "brass"}, entrypoint="door").allow
        ...     policy.decide({"key": "tin"}, entrypoint="door").reasons
        True
        ('no rule allows it',)
    """

    def __init__(self, rules: Sources, *, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self.sources = rules
        self.digest = rules.digest
        self.packages = tuple(sorted(set(rules.packages(rules.modules).values())))
        self._process = EvaluatingProcess(program_of(rules, self.packages), self.limits)
        try:
            self._plan = checked(self._process.compiled(), rules.modules)
        except BaseException:
            self._process.close()
            raise

    @classmethod
    def load(
        cls,
        *paths: str | os.PathLike[str],
        data: Mapping[str, Json] | None = None,
        limits: Limits | None = None,
    ) -> Policy:
        """Load rules from .rego files, folders and bundles (.tar.gz), and compile them.

        Args:
            paths: together they are one policy.
            data: merged over the data of the paths; what the rules read as `data`.
            limits: what a decision may cost.

        Raises:
            InputNotFoundError: a path is not there.
            PolicyError: the rules cannot be read or compiled, or use what does not exist.
            PolicyTimeoutError: compiling them takes too long.
            MissingExtraError: the extra `policy` is not installed.
        """
        read = sources.read(*(Path(path) for path in paths))
        merged = sources.merge(read.data, data or {})
        return cls(Sources(modules=read.modules, tests=read.tests, data=merged), limits=limits)

    @classmethod
    def default(
        cls, *, data: Mapping[str, Json] | None = None, limits: Limits | None = None
    ) -> Policy:
        """Load the rules shipped with the package; `data` changes their lists. Errors as `load`."""
        return cls.load(DEFAULT_RULES, data=data, limits=limits)

    @classmethod
    def from_text(
        cls,
        text: str,
        *,
        data: Mapping[str, Json] | None = None,
        limits: Limits | None = None,
    ) -> Policy:
        """Compile one module given as text. Errors as `load`."""
        return cls(Sources(modules={"policy.rego": text}, data=data or {}), limits=limits)

    def decide(
        self, document: Mapping[str, Json], *, entrypoint: str = "plugin/admission"
    ) -> Decision:
        """Decide on an input.

        Args:
            document: the input of the rules; JSON.
            entrypoint: the package that decides, with slashes.

        Raises:
            PolicyInputError: the input is too large, too deep, or no JSON.
            PolicyTimeoutError: the rules take too long.
            PolicyError: no such package, or the rules contradict themselves or fail.
        """
        self._check_entrypoint(entrypoint)
        return _decision(self.evaluate(document, entrypoint=entrypoint), self.digest)

    def evaluate(self, document: Mapping[str, Json], *, entrypoint: str) -> Mapping[str, Json]:
        """Return all that a package says of an input; errors as `decide`."""
        reply = self._process.query(entrypoint, to_text(document, self.limits))
        raise_failure(reply, self.sources.modules)
        value = reply.get("value", {})
        return value if isinstance(value, dict) else {}

    def close(self) -> None:
        """End the child process; the next decision would start another."""
        self._process.close()

    def __enter__(self) -> Policy:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _check_entrypoint(self, entrypoint: str) -> None:
        if entrypoint not in self.packages:
            raise PolicyError(
                f"no rules decide `{entrypoint}`",
                got=f"packages: {', '.join(self.packages)}",
                fix="name one of the packages",
            )
        if not plan.has_rule(self._plan, entrypoint, "allow"):
            raise PolicyError(
                f"the package `{entrypoint}` has no rule `allow`",
                fix="add `default allow := false` and a rule that allows",
            )


def program_of(rules: Sources, entrypoints: tuple[str, ...]) -> dict[str, Json]:
    """Return what the child process compiles."""
    return {
        "modules": [[name, text] for name, text in rules.modules.items()],
        "data": rules.data,
        "entrypoints": list(entrypoints),
    }


def checked(reply: Mapping[str, Any], texts: Mapping[str, str]) -> Mapping[str, Any]:
    """Return the plan in the child's reply.

    Raises:
        PolicyError: the rules did not compile, or use what does not exist.
    """
    raise_failure(reply, texts)
    compiled: Mapping[str, Any] = reply["plan"]
    missing: list[str] = reply["missing"]
    problems = plan.in_plan(compiled, missing)
    if problems:
        raise PolicyError(
            "the rules use what does not exist", got="; ".join(map(str, problems[:5]))
        )
    return compiled


def raise_failure(reply: Mapping[str, Json], texts: Mapping[str, str]) -> None:
    """Raise what a reply tells of, if it tells of an error."""
    error = reply.get("error")
    if error is None:
        return
    problems = plan.in_error(str(error), texts)
    raise PolicyError(
        "the rules do not hold together",
        got="; ".join(map(str, problems[:5])) or str(error)[:300],
        fix="see what the engine says, at the line it names",
    )


def _decision(said: Mapping[str, Json], rules: str) -> Decision:
    denied = said.get("deny")
    reasons = _reasons(denied)
    allow = said.get("allow")
    if allow is True and not reasons:
        return Decision(allow=True, reasons=(), rules=rules)
    if not reasons:
        told = "no rule allows it"
        if allow is not None and not isinstance(allow, bool):
            told = f"`allow` is not exactly true: {json.dumps(allow, ensure_ascii=False)[:80]}"
        reasons = (told,)
    return Decision(allow=False, reasons=reasons, rules=rules)


def _reasons(denied: Json) -> tuple[str, ...]:
    """Return the reasons to deny; whatever is said under `deny`, in whatever form, is one."""
    if denied is None or denied in ([], {}, False):
        return ()
    said = denied if isinstance(denied, list) else [denied]
    return tuple(
        sorted(s if isinstance(s, str) else json.dumps(s, ensure_ascii=False) for s in said)
    )
