"""Small wheels of plugins, and keys that sign them."""

from __future__ import annotations

import base64
import hashlib
import io
import zipfile
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

import pytest

from openautoglm.plugins.manifest import FILE_NAME, Manifest, Provides
from openautoglm.plugins.signing import Keyring, SigningKey

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
INFO = "acme_upper-{version}.dist-info"


class WheelMaker(Protocol):
    """What the fixture `wheel` is."""

    def __call__(
        self, *, version: str = "1.0", files: Mapping[str, bytes] | None = None
    ) -> Path: ...


def manifest(version: str = "1.0", plugin: str = "acme.upper") -> Manifest:
    return Manifest(
        id=plugin,
        name="acme-upper",
        version=version,
        package="acme_upper",
        host_api=">=1.0,<2",
        provides=(
            Provides(point="step", contract=1, name="acme.upper", object="acme_upper.step:Upper"),
        ),
    )


def contents(version: str = "1.0", files: Mapping[str, bytes] | None = None) -> dict[str, bytes]:
    """Return the files of a wheel, RECORD last."""
    info = INFO.format(version=version)
    made = {
        "acme_upper/__init__.py": b"",
        "acme_upper/step.py": b"class Upper:\n    pass\n" * 20,
        f"acme_upper/{FILE_NAME}": manifest(version).to_json(),
        **(files or {}),
        f"{info}/METADATA": f"Name: acme-upper\nVersion: {version}\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nTag: py3-none-any\n",
    }
    return {**made, f"{info}/RECORD": record(made, f"{info}/RECORD")}


def record(files: Mapping[str, bytes], own: str) -> bytes:
    lines = []
    for name, content in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        lines.append(f"{name},sha256={digest},{len(content)}\n")
    return "".join([*lines, f"{own},,\n"]).encode()


def zipped(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


@pytest.fixture
def wheel(tmp_path: Path) -> WheelMaker:
    """Return a function that writes a wheel and returns its path."""

    def make(*, version: str = "1.0", files: Mapping[str, bytes] | None = None) -> Path:
        path = tmp_path / f"acme_upper-{version}-py3-none-any.whl"
        path.write_bytes(zipped(contents(version, files)))
        return path

    return make


@pytest.fixture(scope="session")
def key() -> SigningKey:
    return SigningKey.new()


@pytest.fixture(scope="session")
def other() -> SigningKey:
    return SigningKey.new()


@pytest.fixture
def keyring(key: SigningKey) -> Keyring:
    return Keyring().trusting(key.public, name="mine")
