"""What is known of a wheel beside its bytes: its signature, its check, the versions before it.

Owns the judging when a wheel is installed, and opening what was installed to be judged again.
Knows nothing of what policy makes of it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from openautoglm.errors import PluginPackageError, PluginReplaceError
from openautoglm.plugins.inventory.state import Proof, State, Verdict, is_lower
from openautoglm.plugins.inventory.store import REPORT, SIGNATURE, WHEEL

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from openautoglm.plugins.inventory.store import StoredContent
    from openautoglm.plugins.report import PluginReport
    from openautoglm.plugins.signing import Keyring, KeyringFile
    from openautoglm.plugins.signing import Verdict as SigningVerdict
    from openautoglm.plugins.signing.package import Package


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What was found out.

    Attributes:
        verdict: on the signature.
        proof: of the check that a trusted key stands for, or None.
    """

    verdict: Verdict
    proof: Proof | None = None


def read_beside(wheel: Path) -> dict[str, bytes]:
    """Return what lies beside a wheel, by the name it has in the store.

    Raises:
        PackageRefusedError: it is no file, or too large.
    """
    from openautoglm.plugins.signing.package import read_file

    beside = {name: wheel.parent / (wheel.name + _suffix(name)) for name in (SIGNATURE, REPORT)}
    return {name: read_file(path) for name, path in beside.items() if os.path.lexists(path)}


def judge(
    package: Package, beside: Mapping[str, bytes], home: Path, *, allow_downgrade: bool
) -> Judged:
    """Judge a wheel by the signature beside it and the keyring of a home.

    Raises:
        PluginPackageError: it contradicts its signature.
        PluginReplaceError: the keyring has seen a higher version.
        KeyringError: the keyring cannot be read.
    """
    if SIGNATURE not in beside:
        return Judged(verdict=Verdict(reasons=("unsigned: no signature lies beside the wheel",)))
    from openautoglm.plugins import signing

    keyring = _keyring_file(home).read()
    found = signing.judge(package, beside[SIGNATURE], keyring, allow_downgrade=allow_downgrade)
    if {each.code for each in found.reasons} == {"downgrade"}:
        manifest = package.manifest
        raise older(manifest.id, manifest.version, keyring.versions[manifest.id])
    reasons = tuple(map(str, found.reasons))
    if found.state == "refused":
        raise PluginPackageError(
            "the wheel contradicts the signature beside it",
            got="; ".join(reasons),
            fix="get the wheel again from who signed it; `oag plugin verify` tells more",
        )
    verdict = Verdict(trusted=found.trusted, keys=found.keys, reasons=reasons)
    report = _signed(beside.get(REPORT), found.report) if found.trusted else None
    return Judged(verdict=verdict, proof=None if report is None else proof_of(report))


def judge_content(content: StoredContent, home: Path) -> SigningVerdict:
    """Judge what was just opened by the signature that lies with it."""
    from openautoglm.plugins import signing

    keyring = _keyring_file(home).read()
    return signing.judge(content, content.signature, keyring, allow_downgrade=True)


def proof_of(report: PluginReport) -> Proof:
    """Return what is kept of a report."""
    failed = dict.fromkeys(each.row for each in report.failures)
    warned = dict.fromkeys(each.row for each in report.findings if each.status == "warn")
    return Proof(
        ok=report.ok,
        profile=report.profile,
        digest=report.digest,
        failed=tuple(failed),
        warned=tuple(warned),
    )


def refuse_older(state: State, package: Package) -> None:
    """Refuse a version lower than one that was installed before, unless it is in use already.

    Raises:
        PluginReplaceError: names both versions.
    """
    manifest = package.manifest
    there = state.plugins.get(manifest.id)
    if there is not None and there.versions[there.current].sha256 == package.sha256:
        return
    if is_lower(state, manifest.id, manifest.version):
        raise older(manifest.id, manifest.version, state.seen[manifest.id])


def remember(home: Path, plugin: str, version: str) -> Keyring:
    """Have the keyring refuse signed versions below this one from now on."""
    return _keyring_file(home).update(lambda keyring: keyring.having_seen(plugin, version))


def was_trusted(home: Path, plugin: str) -> bool:
    """Return whether a version that a trusted key signed was in use before."""
    return plugin in _keyring_file(home).read().versions


def older(plugin: str, version: str, seen: str) -> PluginReplaceError:
    """Return the error for a version that is lower than one before."""
    return PluginReplaceError(
        f"a higher version of plugin `{plugin}` was installed before",
        got=f"{version}, after {seen}",
        fix=f"`oag plugin rollback {plugin}` goes back to the version before; --allow-downgrade "
        "takes this one all the same",
    )


def _keyring_file(home: Path) -> KeyringFile:
    from openautoglm.plugins.signing import keyring

    return keyring.KeyringFile(home / keyring.FILE_NAME)


def _signed(text: bytes | None, digest: str | None) -> PluginReport | None:
    """Return the report that a signature names, if it lies there."""
    from openautoglm.plugins.report import PluginReport

    if text is None or digest is None:
        return None
    try:
        report = PluginReport.from_json(text)
    except ValueError:
        return None
    return report if report.digest == digest else None


def _suffix(name: str) -> str:
    return name.removeprefix(WHEEL)
