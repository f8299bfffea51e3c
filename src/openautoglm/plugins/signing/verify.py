"""Whether a package is what trusted keys signed, and if not, every reason why.

Owns `Verdict` and `verify`. Reads the package and its signature once: the bytes judged are the
bytes returned. A package without a signature is no error; what to do with it is policy.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, Literal, Protocol, TypeAlias, final

from openautoglm.errors import PackageRefusedError
from openautoglm.plugins.signing import envelope, statement
from openautoglm.plugins.signing.keys import holds
from openautoglm.plugins.signing.package import Package, parse, read_file
from openautoglm.plugins.signing.reason import Code, Reason, Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from openautoglm.plugins.manifest import Manifest
    from openautoglm.plugins.signing.keyring import Keyring
    from openautoglm.plugins.signing.statement import Statement

State: TypeAlias = Literal["trusted", "untrusted", "unsigned", "refused"]
SUFFIX: Final = ".dsse.json"
CLOCKS_DIFFER: Final = timedelta(minutes=5)
WITHOUT_TRUST: Final[frozenset[Code]] = frozenset({"unknown-key", "id-not-allowed", "threshold"})
"""Reasons that leave a package as good as an unsigned one; any other is worse than none."""

BESIDE_THE_POINT: Final[frozenset[Code]] = frozenset(
    {"unknown-key", "id-not-allowed", "expired-key", "early-key"}
)
"""What is said of one signature, and does not matter where enough others count."""


class Content(Protocol):
    """What a statement is about: a wheel, as bytes or as files whose digests were taken."""

    @property
    def sha256(self) -> str:
        """Digest of the whole wheel, in hexadecimal."""

    @property
    def files(self) -> Mapping[str, str]:
        """Name to digest of every file in it."""

    @property
    def manifest(self) -> Manifest:
        """What it says of itself."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What is known of a package.

    Attributes:
        state: `trusted`; `unsigned`; `untrusted` where it is whole, but too few trusted keys signed
            it; `refused` where something contradicts what was signed or the wheel itself.
        reasons: why it is not trusted; empty where it is.
        keys: ids of the keys that count, sorted.
        roles: the roles they hold, sorted.
        is_downgrade: whether the keyring remembers a higher version.
        report: digest of the check report that was signed, or None.
        package: the bytes that were judged; None where they are no package, or were unpacked.
        signature: the envelope that was judged, as it was read, or None.
    """

    state: State
    reasons: tuple[Reason, ...] = ()
    keys: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    is_downgrade: bool = False
    report: str | None = None
    package: Package | None = field(default=None, repr=False)
    signature: bytes | None = field(default=None, repr=False)

    @property
    def trusted(self) -> bool:
        """Whether enough trusted keys signed these bytes."""
        return self.state == "trusted"

    def to_json(self) -> dict[str, object]:
        """Return what policy rules and logs need, as JSON values."""
        return {
            "state": self.state,
            "reasons": [{"code": each.code, "detail": each.detail} for each in self.reasons],
            "keys": list(self.keys),
            "roles": list(self.roles),
            "report": self.report,
        }


def sidecar(wheel: Path) -> Path:
    """Return where the signature of a wheel lies: beside it."""
    return wheel.parent / (wheel.name + SUFFIX)  # `with_name` refuses `.` and `/`


def report_beside(wheel: Path) -> Path:
    """Return where the check report that was signed with a wheel lies."""
    return wheel.parent / f"{wheel.name}.report.json"


def verify(
    wheel: Path,
    keyring: Keyring,
    *,
    now: datetime | None = None,
    report: str | None = None,
    allow_downgrade: bool = False,
) -> Verdict:
    """Judge a wheel by its bytes, the signature beside it, and a keyring.

    Args:
        wheel: the file; its signature is `<wheel>.dsse.json`.
        keyring: whom to trust.
        now: the time to judge at; None is the clock's.
        report: digest of the check report that must have been signed, or None.
        allow_downgrade: take a version lower than one the keyring remembers.

    Raises:
        InputNotFoundError: there is no such wheel.
    """
    signature = sidecar(wheel)
    try:
        data = read_file(wheel)
        text = read_file(signature) if signature.is_symlink() or signature.exists() else None
    except PackageRefusedError as refusal:
        return Verdict(
            state="refused", reasons=(Reason(code="too-large", detail=str(refusal.got)),)
        )
    return verify_bytes(
        data,
        text,
        keyring,
        name=wheel.name,
        now=now,
        report=report,
        allow_downgrade=allow_downgrade,
    )


def verify_bytes(  # noqa: PLR0913 - as `verify`, with what it reads
    data: bytes,
    signature: bytes | None,
    keyring: Keyring,
    *,
    name: str = "package.whl",
    now: datetime | None = None,
    report: str | None = None,
    allow_downgrade: bool = False,
) -> Verdict:
    """Judge a wheel in memory, by the text of its envelope; None where it has none."""
    try:
        package = parse(data, name=name)
    except Refusal as refusal:
        return Verdict(state="refused", reasons=(refusal.reason,))
    return judge(
        package, signature, keyring, now=now, report=report, allow_downgrade=allow_downgrade
    )


def judge(
    content: Content,
    signature: bytes | None,
    keyring: Keyring,
    *,
    now: datetime | None = None,
    report: str | None = None,
    allow_downgrade: bool = False,
) -> Verdict:
    """Judge content whose digests were just taken; arguments as `verify_bytes`."""
    manifest = content.manifest
    is_downgrade = keyring.is_downgrade(manifest.id, manifest.version)
    reasons: list[Reason] = []
    if is_downgrade and not allow_downgrade:
        seen = keyring.versions[manifest.id]
        reasons.append(Reason(code="downgrade", detail=f"{manifest.version}, seen {seen}"))
    judged = _Signed()
    if signature is None:
        reasons.append(Reason(code="unsigned"))
    else:
        judged = _judge(content, signature, keyring, now or datetime.now(UTC), report)
        reasons += judged.reasons
    return Verdict(
        state=_state(reasons),
        reasons=tuple(reasons),
        keys=judged.keys,
        roles=judged.roles,
        is_downgrade=is_downgrade,
        report=judged.report,
        package=content if isinstance(content, Package) else None,
        signature=signature,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Signed:
    """What a signature came to."""

    reasons: tuple[Reason, ...] = ()
    keys: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    report: str | None = None


def _state(reasons: list[Reason]) -> State:
    codes = {reason.code for reason in reasons}
    if not codes:
        return "trusted"
    if codes == {"unsigned"}:
        return "unsigned"
    return "untrusted" if codes <= WITHOUT_TRUST else "refused"


def _judge(
    package: Content, text: bytes, keyring: Keyring, now: datetime, report: str | None
) -> _Signed:
    try:
        payload, signatures = envelope.decode(text)
        said = statement.decode(payload)
    except Refusal as refusal:
        return _Signed(reasons=(refusal.reason,))
    reasons = [*content_reasons(package, said)]
    predicate = said.predicate
    if report is not None and predicate.report != report:
        reasons.append(Reason(code="report-digest", detail=predicate.report or "none was signed"))
    if predicate.signed_at > now + CLOCKS_DIFFER:
        reasons.append(Reason(code="signed-in-future", detail=str(predicate.signed_at)))
    counting, objections = _counting(predicate.plugin, payload, signatures, keyring, now)
    short = _short(keyring, counting)
    reasons += [each for each in objections if short or each.code not in BESIDE_THE_POINT]
    reasons += short
    roles = {role for key in counting for role in keyring.keys[key].roles}
    return _Signed(
        reasons=tuple(reasons),
        keys=tuple(sorted(counting)),
        roles=tuple(sorted(roles)),
        report=predicate.report,
    )


def content_reasons(package: Content, said: Statement) -> list[Reason]:
    """Return how a package differs from what a statement says of it."""
    reasons: list[Reason] = []
    if said.package != package.sha256:
        reasons.append(Reason(code="package-digest", detail=package.sha256))
    signed, manifest = said.files, package.manifest
    for name in sorted({*signed, *package.files}):
        code: Code = "file-digest"
        if name not in package.files:
            code = "file-missing"
        elif name not in signed:
            code = "file-extra"
        elif signed[name] == package.files[name]:
            continue
        reasons.append(Reason(code=code, detail=name))
    stated = (said.predicate.manifest, said.predicate.plugin, said.predicate.version)
    if stated != (manifest.digest, manifest.id, manifest.version):
        reasons.append(
            Reason(code="manifest-digest", detail=f"signed as {stated[1]} {stated[2]}"[:200])
        )
    return reasons


def _counting(
    plugin: str,
    payload: bytes,
    signatures: Mapping[str, bytes],
    keyring: Keyring,
    now: datetime,
) -> tuple[set[str], list[Reason]]:
    """Return the keys that count, and what speaks against the others."""
    counting: set[str] = set()
    reasons: list[Reason] = []
    message = envelope.message(payload)
    for key, signature in signatures.items():
        trusted = keyring.keys.get(key)
        if trusted is None:
            reasons.append(Reason(code="unknown-key", detail=key))
        elif not holds(trusted.public_bytes, signature, message):
            reasons.append(Reason(code="bad-signature", detail=trusted.name))
        elif objection := trusted.objection(plugin, now):
            reasons.append(objection)
        else:
            counting.add(key)
    return counting, reasons


def _short(keyring: Keyring, counting: set[str]) -> list[Reason]:
    reasons: list[Reason] = []
    for role, needed in sorted(keyring.thresholds.items()):
        have = sum(role in keyring.keys[key].roles for key in counting)
        if have < needed:
            reasons.append(Reason(code="threshold", detail=f"{have} of {needed} keys as {role}"))
    return reasons
