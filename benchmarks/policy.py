"""What a decision costs, and what it costs to sign, verify and store a package.

python benchmarks/policy.py --json benchmarks/results/policy.json
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import random
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from securesystemslib.dsse import Envelope
from securesystemslib.signer import Key

from openautoglm.plugins.inventory.store import SIGNATURE, ContentStore
from openautoglm.plugins.manifest import FILE_NAME, Manifest, Provides
from openautoglm.plugins.signing import Keyring, SigningKey, judge, sidecar, sign, verify
from openautoglm.policy import Policy
from openautoglm.policy.admission import HostFacts, admission_input
from timing import medians_s, report

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from timing import Cell

LARGE = 64 << 20


def wheel(folder: Path, *, payload: int) -> Path:
    """Write a wheel with so many bytes that no packing makes smaller, in one file."""
    manifest = Manifest(
        id="acme.upper",
        name="acme-upper",
        version="1.0",
        package="acme_upper",
        host_api=">=1.0,<2",
        permissions=("emit:acme.*", "subscribe:config.update", "call:model.generate"),
        provides=(Provides(point="step", contract=1, name="acme.upper", object="acme_upper:U"),),
    )
    files = {
        "acme_upper/__init__.py": b"class U: ...\n",
        f"acme_upper/{FILE_NAME}": manifest.to_json(),
        "acme_upper/table.bin": random.Random(1).randbytes(payload),  # noqa: S311 - no secret
        "acme_upper-1.0.dist-info/METADATA": b"Name: acme-upper\nVersion: 1.0\n",
        "acme_upper-1.0.dist-info/WHEEL": b"Wheel-Version: 1.0\nTag: py3-none-any\n",
    }
    rows = [
        f"{name},sha256={base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode()[:43]},"
        f"{len(content)}\n"
        for name, content in files.items()
    ]
    files["acme_upper-1.0.dist-info/RECORD"] = "".join(
        [*rows, "acme_upper-1.0.dist-info/RECORD,,\n"]
    ).encode()
    path = folder / f"acme_upper-1.0-{payload}.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def document(ballast: int = 0) -> dict[str, object]:
    """Return the input of the default rules, with so many bytes that no rule reads."""
    manifest: dict[str, object] = {
        "id": "acme.upper",
        "version": "1.0",
        "isolation": "auto",
        "permissions": ["emit:acme.*", "subscribe:config.update", "call:model.generate"],
        "notes": [{"n": "x" * 50} for _ in range(ballast // 60)],
    }
    return admission_input(
        manifest=manifest,
        signature={"state": "unsigned", "reasons": []},
        isolation="L2",
        host=HostFacts(sandbox=True, wasm=True),
        report={"ok": True, "plugin": "acme.upper", "version": "1.0"},
    )


def decisions() -> dict[str, float]:
    """Return the medians of loading the default rules and deciding by them."""
    small, large = document(), document(ballast=64 << 10)

    def load() -> None:
        Policy.default().close()

    with Policy.default() as policy:
        assert policy.decide(small).allow  # noqa: S101 - else the figures are of something else
        return {
            **medians_s({"load the default rules": load}, rounds=10),
            **medians_s({"decide on a plugin": lambda: policy.decide(small)}, rounds=300),
            **medians_s({"decide, 64 KiB of input": lambda: policy.decide(large)}, rounds=10),
        }


def packages(folder: Path, *, payload: int, rounds: int, name: str) -> dict[str, float]:
    """Return the medians of signing, verifying, storing and opening one package."""
    key = SigningKey.new()
    keyring, store = Keyring().trusting(key.public, name="mine"), ContentStore(folder / "store")
    path = wheel(folder, payload=payload)

    def write() -> None:
        sidecar(path).unlink(missing_ok=True)
        sign(path, key)

    write()
    verdict = verify(path, keyring)
    assert verdict.trusted  # noqa: S101 - else the figures are of something else
    assert verdict.package is not None  # noqa: S101 - it is trusted
    sha256 = verdict.package.sha256
    with store.staged(verdict.package, beside={SIGNATURE: verdict.signature or b""}) as staged:
        staged.commit()
    stored = store.open(sha256, contents=staged.contents)
    cases: dict[str, Callable[[], object]] = {
        f"SHA-256 of the file alone, {name}": lambda: hashlib.sha256(path.read_bytes()).digest(),
        f"zipfile reads every file, {name}": lambda: zipfile.ZipFile(
            io.BytesIO(path.read_bytes())
        ).testzip(),
        f"sign, {name}": write,
        f"verify, {name}": lambda: verify(path, keyring),
        f"open from the store, {name}": lambda: store.open(sha256, contents=staged.contents),
        f"judge what was opened, {name}": lambda: judge(stored, stored.signature, keyring),
    }
    return medians_s(cases, rounds=rounds)


def peers(folder: Path) -> dict[str, float]:
    """Return the median of a signature alone as securesystemslib verifies it."""
    key = SigningKey.new()
    path = wheel(folder, payload=1001)  # a file of its own
    read = json.loads(sign(path, key).read_bytes())
    envelope = Envelope.from_dict(read)
    facts: Mapping[str, object] = {
        "keytype": "ed25519",
        "scheme": "ed25519",
        "keyval": {"public": key.public.hex()},
    }
    public = Key.from_dict(key.id, dict(facts))
    case = {"securesystemslib: the signature alone": lambda: envelope.verify([public], 1)}
    return medians_s(case, rounds=300)


def main() -> None:
    """Measure and report."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        measured = {
            **decisions(),
            **packages(folder, payload=1000, rounds=200, name="1 KB"),
            **peers(folder),
            **packages(folder, payload=LARGE, rounds=3, name="64 MiB"),
        }
    rows: list[dict[str, Cell]] = [
        {"what": what, "median ms": seconds * 1e3} for what, seconds in measured.items()
    ]
    report(
        "Policy and signatures",
        rows,
        notes="Decisions cross to a child process and back. Verifying reads the wheel once, "
        "unpacks and hashes every file, and checks RECORD, statement and signature.",
    )


if __name__ == "__main__":
    main()
