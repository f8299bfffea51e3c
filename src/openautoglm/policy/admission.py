"""The input of the default rules on plugins, from what the host knows.

Owns the shape. Takes plain JSON values, since manifests, verdicts and reports live in upper rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias, final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from openautoglm.policy.document import Json

Level: TypeAlias = Literal["L0", "L1", "L2", "L3"]
Switch: TypeAlias = Literal["unsigned-in-process", "downgrade"]
"""What only a person may turn on, for one call: code without a trusted signature outside a sandbox;
an older version over a newer one."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class HostFacts:
    """What this machine can do: `sandbox` is Landlock and seccomp together, `wasm` is wasmtime."""

    sandbox: bool
    wasm: bool


class Proof(Protocol):
    """What is known of a check."""

    @property
    def ok(self) -> bool:
        """Whether nothing failed."""

    @property
    def profile(self) -> str:
        """`static` where nothing was run, `quick`, or `full`."""

    @property
    def digest(self) -> str:
        """SHA-256 of the whole report."""

    @property
    def failed(self) -> Sequence[str]:
        """Rows that failed."""

    @property
    def warned(self) -> Sequence[str]:
        """Rows that warned."""


def report_input(
    proof: Proof, *, plugin: str, version: str, signed_digest: object = None
) -> dict[str, Json]:
    """Return what rules see of a check report.

    Args:
        proof: what it came to.
        plugin: the id it is about.
        version: the version it is about.
        signed_digest: the digest that a trusted signature stands for, or None.
    """
    return {
        "ok": proof.ok,
        "plugin": plugin,
        "version": version,
        "profile": proof.profile,
        "digest": proof.digest,
        "signed": signed_digest == proof.digest,
        "failed": list(proof.failed),
        "warned": list(proof.warned),
    }


def admission_input(  # noqa: PLR0913 - the fields of one document
    *,
    manifest: Mapping[str, Json],
    signature: Mapping[str, Json],
    isolation: Level,
    host: HostFacts,
    report: Mapping[str, Json] | None = None,
    is_downgrade: bool = False,
    switches: tuple[Switch, ...] = (),
) -> dict[str, Json]:
    """Return what `Policy.default().decide` takes.

    Args:
        manifest: with id, version, isolation and permissions.
        signature: a verdict's `to_json`: state and reasons.
        isolation: the level it would run at.
        host: what this machine can do.
        report: the check, see `report_input`; None where there is none.
        is_downgrade: whether a higher version of the plugin was seen or installed before.
        switches: what a person turned on.
    """
    return {
        "manifest": manifest,
        "signature": signature,
        "report": report,
        "requested": {"isolation": isolation, "switches": list(switches)},
        "installed": {"is_downgrade": is_downgrade},
        "host": {"sandbox": host.sandbox, "wasm": host.wasm},
    }
