"""Sign a wheel: a statement on all its bytes, in an envelope beside it.

Owns `sign`. The signature lies beside the wheel and not in it: the wheel stays as it was built, its
RECORD and its hash stay true, and others can add their signatures to the same statement later.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from openautoglm.errors import OutputWriteError, SignatureError
from openautoglm.native.cache import put
from openautoglm.plugins.signing import envelope, statement
from openautoglm.plugins.signing.package import Package, read_file
from openautoglm.plugins.signing.reason import Refusal
from openautoglm.plugins.signing.statement import Digest, Predicate, Statement, Subject
from openautoglm.plugins.signing.verify import content_reasons, report_beside, sidecar

if TYPE_CHECKING:
    from pathlib import Path

    from openautoglm.plugins.signing.keys import SigningKey


class Report(Protocol):
    """What is signed of a check report."""

    @property
    def plugin(self) -> str:
        """The id of the plugin that was checked."""
        ...

    @property
    def version(self) -> str:
        """Its version."""
        ...

    @property
    def ok(self) -> bool:
        """Whether nothing failed."""
        ...

    @property
    def digest(self) -> str:
        """SHA-256 of the report's canonical JSON, in hexadecimal."""
        ...

    def to_json(self) -> str:
        """Return its canonical JSON."""
        ...


def sign(
    wheel: Path, key: SigningKey, report: Report | None = None, *, now: datetime | None = None
) -> Path:
    """Sign a wheel, or add a signature to those it has, and return the file of signatures.

    Args:
        wheel: the file; the signature is written beside it, as `<wheel>.dsse.json`.
        key: who signs.
        report: the check report that goes with the package, as `<wheel>.report.json` beside it; a
            later signer signs the same one.
        now: the time to state; None is the clock's.

    Raises:
        InputNotFoundError: there is no such wheel.
        PackageRefusedError: it is no whole and plain wheel of a plugin.
        SignatureError: the report fails or is about something else, or the file of signatures is
            about other bytes.
        OutputWriteError: the signature cannot be written.
    """
    package = Package.read(wheel)
    if report is not None:
        _check_report(package, report)
    target = sidecar(wheel)
    if target.is_symlink() or target.exists():
        payload, signatures = _present(target, package, report)
    else:
        said = statement_on(package, report, now or datetime.now(UTC))
        payload, signatures = said.encode(), {}
    signatures[key.id] = key.sign(envelope.message(payload))
    try:
        if report is not None:
            put(report_beside(wheel), report.to_json().encode())
        put(target, envelope.encode(payload, signatures))
    except OSError as cause:
        raise OutputWriteError(
            "the signature cannot be written", got=f"{target}: {cause.strerror}"
        ) from cause
    return target


def statement_on(package: Package, report: Report | None, at: datetime) -> Statement:
    """Return the statement on a package, which is signed by whoever stands for it."""
    manifest = package.manifest
    files = (
        Subject(name=name, digest=Digest(sha256=digest))
        for name, digest in sorted(package.files.items())
    )
    return Statement(
        subject=(Subject(name=package.name, digest=Digest(sha256=package.sha256)), *files),
        predicate=Predicate(
            plugin=manifest.id,
            version=manifest.version,
            manifest=manifest.digest,
            report=None if report is None else report.digest,
            signed_at=at.astimezone(UTC).replace(microsecond=0),
        ),
    )


def _check_report(package: Package, report: Report) -> None:
    manifest = package.manifest
    about, wanted = (report.plugin, report.version), (manifest.id, manifest.version)
    if about != wanted:
        raise SignatureError(
            "the report is about another plugin or version",
            got=" ".join(about),
            fix=f"check {' '.join(wanted)}: `oag plugin check WHEEL --json FILE`",
        )
    if not report.ok:
        raise SignatureError(
            "a report that fails is not signed",
            got=report.digest,
            fix="mend what it names and check again, or sign without a report",
        )


def _present(
    target: Path, package: Package, report: Report | None
) -> tuple[bytes, dict[str, bytes]]:
    """Return payload and signatures that are there, if they are about these very bytes."""
    again = f"remove {target} and let every signer sign again"
    try:
        payload, signatures = envelope.decode(read_file(target))
        said = statement.decode(payload)
    except Refusal as refusal:
        raise SignatureError(
            "the signature that is there cannot be read", got=str(refusal.reason), fix=again
        ) from refusal
    if reasons := content_reasons(package, said):
        raise SignatureError(
            "the signature that is there is about another package", got=str(reasons[0]), fix=again
        )
    if report is not None and said.predicate.report != report.digest:
        raise SignatureError(
            "the signature that is there is about another report",
            got=said.predicate.report or "none",
            fix=again,
        )
    return payload, signatures
