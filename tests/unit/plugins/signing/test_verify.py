"""Signing and verifying: every reason is told, and no good package is refused."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Protocol

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from securesystemslib.dsse import Envelope
from securesystemslib.signer._key import SSlibKey

from openautoglm.errors import InputNotFoundError, PackageRefusedError, SignatureError
from openautoglm.plugins.signing import Keyring, SigningKey, sidecar, sign, verify

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)


class WheelMaker(Protocol):
    """What the fixture `wheel` is."""

    def __call__(
        self, *, version: str = "1.0", files: Mapping[str, bytes] | None = None
    ) -> Path: ...


@dataclass(frozen=True)
class Report:
    """A check report, as far as it is signed."""

    plugin: str = "acme.upper"
    version: str = "1.0"
    ok: bool = True
    digest: str = "ab" * 32

    def to_json(self) -> str:
        return "{}"


def codes(path: Path, keyring: Keyring, **more: object) -> list[str]:
    verdict = verify(path, keyring, now=NOW, **more)  # type: ignore[arg-type] # as given
    return [reason.code for reason in verdict.reasons]


def test_what_a_trusted_key_signed_is_trusted(
    wheel: WheelMaker, key: SigningKey, keyring: Keyring
) -> None:
    path = wheel()
    assert sign(path, key, now=NOW) == sidecar(path)
    verdict = verify(path, keyring, now=NOW)
    assert verdict.trusted
    assert (verdict.keys, verdict.roles, verdict.reasons) == ((key.id,), ("author",), ())
    assert verdict.package is not None
    assert verdict.package.data == path.read_bytes()


def test_without_a_signature_a_package_is_unsigned_and_not_refused(
    wheel: WheelMaker, keyring: Keyring
) -> None:
    verdict = verify(wheel(), keyring)
    assert verdict.state == "unsigned"
    assert verdict.to_json() == {
        "state": "unsigned",
        "reasons": [{"code": "unsigned", "detail": ""}],
        "keys": [],
        "roles": [],
        "report": None,
    }


def test_a_key_that_nobody_trusts_leaves_it_untrusted(
    wheel: WheelMaker, other: SigningKey, keyring: Keyring
) -> None:
    path = wheel()
    sign(path, other, now=NOW)
    verdict = verify(path, keyring, now=NOW)
    assert verdict.state == "untrusted"
    assert [reason.code for reason in verdict.reasons] == ["unknown-key", "threshold"]


def test_a_threshold_counts_different_keys_of_a_role(
    wheel: WheelMaker, key: SigningKey, other: SigningKey
) -> None:
    keyring = Keyring().trusting(key.public, name="a").trusting(other.public, name="b")
    keyring = keyring.requiring(author=2)
    path = wheel()
    sign(path, key, now=NOW)
    sign(path, key, now=NOW)
    assert codes(path, keyring) == ["threshold"]
    sign(path, other, now=NOW + DAY)
    assert codes(path, keyring) == []
    assert len(json.loads(sidecar(path).read_bytes())["signatures"]) == 2


def test_every_role_that_is_asked_for_must_have_signed(
    wheel: WheelMaker, key: SigningKey, other: SigningKey
) -> None:
    keyring = (
        Keyring()
        .trusting(key.public, name="a")
        .trusting(other.public, name="b", roles=("reviewer",))
        .requiring(author=1, reviewer=1)
    )
    path = wheel()
    sign(path, key, now=NOW)
    verdict = verify(path, keyring, now=NOW)
    assert [str(reason) for reason in verdict.reasons] == ["threshold: 0 of 1 keys as reviewer"]
    sign(path, other, now=NOW)
    assert verify(path, keyring, now=NOW).roles == ("author", "reviewer")


def test_a_signature_too_many_does_not_matter_unless_it_is_false(
    wheel: WheelMaker, key: SigningKey, other: SigningKey, keyring: Keyring
) -> None:
    path = wheel()
    sign(path, key, now=NOW)
    sign(path, other, now=NOW)
    assert codes(path, keyring) == []
    both = keyring.trusting(other.public, name="old", expires=NOW - DAY)
    assert codes(path, both) == []
    assert codes(path, both.revoking("old", at=NOW)) == ["revoked-key"]
    envelope = json.loads(sidecar(path).read_bytes())
    for signature in envelope["signatures"]:
        if signature["keyid"] == other.id:
            signature["sig"] = base64.b64encode(bytes(64)).decode()
    sidecar(path).write_bytes(json.dumps(envelope).encode())
    assert codes(path, both) == ["bad-signature"]


@pytest.mark.parametrize(
    ("terms", "code"),
    [
        ({"expires": NOW}, "expired-key"),
        ({"not_before": NOW + DAY}, "early-key"),
        ({"ids": ("other.*",)}, "id-not-allowed"),
        ({"roles": ("reviewer",)}, "threshold"),
    ],
)
def test_a_key_out_of_its_terms_does_not_count(
    wheel: WheelMaker, key: SigningKey, terms: dict[str, object], code: str
) -> None:
    path = wheel()
    sign(path, key, now=NOW)
    keyring = Keyring().trusting(key.public, name="mine", **terms)  # type: ignore[arg-type] # as given
    assert code in codes(path, keyring)


def test_a_version_below_one_that_was_seen_is_refused_unless_allowed(
    wheel: WheelMaker, key: SigningKey, keyring: Keyring
) -> None:
    path = wheel()
    sign(path, key, now=NOW)
    later = keyring.having_seen("acme.upper", "1.1")
    verdict = verify(path, later, now=NOW)
    assert (verdict.state, verdict.is_downgrade) == ("refused", True)
    assert str(verdict.reasons[0]) == "downgrade: 1.0, seen 1.1"
    assert verify(path, later, now=NOW, allow_downgrade=True).trusted


def test_a_signature_from_the_future_is_refused(
    wheel: WheelMaker, key: SigningKey, keyring: Keyring
) -> None:
    path = wheel()
    sign(path, key, now=NOW + DAY)
    assert codes(path, keyring) == ["signed-in-future"]


def test_the_report_that_was_signed_is_the_one_that_must_be_shown(
    wheel: WheelMaker, key: SigningKey, keyring: Keyring
) -> None:
    path = wheel()
    sign(path, key, Report(), now=NOW)
    assert verify(path, keyring, now=NOW).report == Report().digest
    assert codes(path, keyring, report=Report().digest) == []
    assert codes(path, keyring, report="cd" * 32) == ["report-digest"]


@pytest.mark.parametrize(
    ("report", "told"),
    [
        (Report(ok=False), "fails"),
        (Report(version="1.1"), "another plugin"),
        (Report(plugin="x"), "another plugin"),
    ],
)
def test_a_report_that_fails_or_is_about_something_else_is_not_signed(
    wheel: WheelMaker, key: SigningKey, report: Report, told: str
) -> None:
    path = wheel()
    with pytest.raises(SignatureError, match=told):
        sign(path, key, report)
    assert not sidecar(path).exists()


def test_a_signature_is_not_added_to_one_on_other_bytes(
    wheel: WheelMaker, key: SigningKey, other: SigningKey
) -> None:
    path = wheel()
    sign(path, key)
    wheel(files={"acme_upper/more.py": b""})
    with pytest.raises(SignatureError, match="another package"):
        sign(path, other)
    sidecar(path).write_bytes(b"{}")
    with pytest.raises(SignatureError, match="cannot be read"):
        sign(path, other)


def test_a_later_signer_signs_the_same_report(
    wheel: WheelMaker, key: SigningKey, other: SigningKey
) -> None:
    path = wheel()
    sign(path, key)
    with pytest.raises(SignatureError, match="another report"):
        sign(path, other, Report())


def test_what_is_no_wheel_is_not_signed(tmp_path: Path, key: SigningKey, keyring: Keyring) -> None:
    path = tmp_path / "a.whl"
    with pytest.raises(InputNotFoundError):
        sign(path, key)
    with pytest.raises(InputNotFoundError):
        verify(path, keyring)
    path.write_bytes(b"no wheel")
    with pytest.raises(PackageRefusedError, match="not-an-archive"):
        sign(path, key)
    assert codes(path, keyring) == ["not-an-archive"]


def test_a_signature_that_is_a_dangling_link_is_not_none(
    wheel: WheelMaker, keyring: Keyring
) -> None:
    path = wheel()
    sidecar(path).symlink_to(path.with_name("nowhere"))
    with pytest.raises(InputNotFoundError):
        verify(path, keyring)


def test_an_independent_reader_of_dsse_agrees(wheel: WheelMaker, key: SigningKey) -> None:
    path = wheel()
    sign(path, key)
    envelope = Envelope.from_dict(json.loads(sidecar(path).read_bytes()))
    public = SSlibKey(key.id, "ed25519", "ed25519", {"public": key.public.hex()})
    assert list(envelope.verify([public], 1)) == [key.id]
    statement = json.loads(envelope.payload)
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["subject"][0]["name"] == path.name


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace(b'"payload"', b'"payl0ad"'),
        lambda text: text.replace(b"in-toto", b"in-tot0"),
        lambda text: text.replace(b'==","payloadType', b'","payloadType').replace(b"=", b""),
        lambda text: text.replace(b'"signatures":[', b'"signatures":[],"x":['),
        lambda text: text[:-20],
        lambda _: b"",
        lambda _: b"[" * 100_000,
        lambda _: b"\xff\xfe",
    ],
)
def test_an_envelope_that_is_none_is_a_reason_and_no_crash(
    wheel: WheelMaker, key: SigningKey, keyring: Keyring, change: object
) -> None:
    path = wheel()
    sign(path, key, now=NOW)
    assert callable(change)
    sidecar(path).write_bytes(change(sidecar(path).read_bytes()))
    assert codes(path, keyring) == ["envelope"]


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    position=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7), wheel_itself=st.booleans()
)
def test_no_bit_of_wheel_or_signature_can_change(
    wheel: WheelMaker,
    key: SigningKey,
    keyring: Keyring,
    position: float,
    bit: int,
    *,
    wheel_itself: bool,
) -> None:
    path = wheel()
    sidecar(path).unlink(missing_ok=True)
    sign(path, key, now=NOW)
    target = path if wheel_itself else sidecar(path)
    data = bytearray(target.read_bytes())
    if not wheel_itself:
        data = data[:-1]  # the line break at the end may become a space
    data[int(position * len(data))] ^= 1 << bit
    target.write_bytes(data)
    assert codes(path, keyring) != []
