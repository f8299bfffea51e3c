"""Keys in files, and keyrings that say whom to trust for what."""

from __future__ import annotations

import stat
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from openautoglm.errors import KeyringError, OpenAutoGLMError, SigningKeyError
from openautoglm.plugins.signing import Keyring, KeyringFile, SigningKey, new_local_key
from openautoglm.plugins.signing.keys import holds, key_id

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2026, 11, 23, tzinfo=UTC)
DAY = timedelta(days=1)
WORDS, OTHER_WORDS = "correct horse", "horse"


def test_one_call_makes_a_key_and_trusts_it(tmp_path: Path) -> None:
    made = new_local_key(tmp_path, "mine")
    assert stat.S_IMODE(made.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(made.keyring.stat().st_mode) == 0o600
    keyring = KeyringFile(made.keyring).read()
    assert [each.name for each in keyring.keys.values()] == ["mine"]
    assert SigningKey.load(made.path).id == made.key.id == next(iter(keyring.keys))
    assert "private" not in repr(made.key).lower()


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    first = new_local_key(tmp_path, "mine")
    with pytest.raises(SigningKeyError, match="never overwritten"):
        new_local_key(tmp_path, "mine")
    assert SigningKey.load(first.path).id == first.key.id


def test_a_name_that_the_keyring_has_leaves_no_key_behind(tmp_path: Path) -> None:
    KeyringFile(tmp_path / "keyring.json").update(
        lambda old: old.trusting(SigningKey.new().public, name="mine")
    )
    with pytest.raises(KeyringError, match="called `mine` already"):
        new_local_key(tmp_path, "mine")
    assert list((tmp_path / "keys").iterdir()) == []


@pytest.mark.parametrize("name", ["", "../mine", "a/b", "Mine", ".mine", "a" * 65, "a\n", "名"])
def test_a_name_that_is_no_plain_file_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(SigningKeyError, match="no name for a key"):
        new_local_key(tmp_path, name)
    assert list(tmp_path.iterdir()) == []


def test_a_passphrase_locks_the_key(tmp_path: Path) -> None:
    made = new_local_key(tmp_path, "mine", passphrase=WORDS)
    assert SigningKey.load(made.path, passphrase=WORDS).id == made.key.id
    with pytest.raises(SigningKeyError, match="wrong passphrase"):
        SigningKey.load(made.path, passphrase=OTHER_WORDS)
    with pytest.raises(SigningKeyError, match="it has one"):
        SigningKey.load(made.path)
    plain = new_local_key(tmp_path, "plain")
    with pytest.raises(SigningKeyError, match="it has none"):
        SigningKey.load(plain.path, passphrase=OTHER_WORDS)


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    made = new_local_key(tmp_path, "mine")
    made.path.chmod(0o640)
    with pytest.raises(SigningKeyError, match="others can read"):
        SigningKey.load(made.path)


def test_what_is_no_ed25519_key_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    with pytest.raises(SigningKeyError, match="no such key"):
        SigningKey.load(path)
    path.write_bytes(b"no key")
    path.chmod(0o600)
    with pytest.raises(SigningKeyError, match="cannot be read"):
        SigningKey.load(path)
    path.write_bytes(
        ec.generate_private_key(ec.SECP256R1()).private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    with pytest.raises(SigningKeyError, match="another kind"):
        SigningKey.load(path)


@given(message=st.binary(max_size=64), flipped=st.integers(0, 511))
def test_a_signature_holds_for_its_message_and_no_other_bit(message: bytes, flipped: int) -> None:
    key = SigningKey.new()
    signature = key.sign(message)
    assert holds(key.public, signature, message)
    assert not holds(key.public, signature, message + b"x")
    damaged = bytearray(signature)
    damaged[flipped // 8] ^= 1 << flipped % 8
    assert not holds(key.public, bytes(damaged), message)
    assert not holds(key.public, b"", message)


def test_a_keyring_survives_being_written(key: SigningKey, other: SigningKey) -> None:
    keyring = (
        Keyring()
        .trusting(key.public, name="mine", ids=("acme.*",), not_before=NOW, expires=NOW + DAY)
        .trusting(other.public, name="other", roles=("reviewer", "author"))
        .requiring(author=2, reviewer=1)
        .having_seen("acme.upper", "1.10")
        .revoking("mine", at=NOW, reason="lost")
    )
    assert Keyring.from_json(keyring.to_json()) == keyring


def test_revoking_finds_a_key_by_name_or_id_and_happens_once(key: SigningKey) -> None:
    keyring = Keyring().trusting(key.public, name="mine")
    revoked = keyring.revoking(key.id, at=NOW)
    assert revoked == keyring.revoking("mine", at=NOW)
    assert revoked.revoking("mine", at=NOW + DAY) is revoked
    with pytest.raises(KeyringError, match="known: mine"):
        keyring.revoking("other", at=NOW)
    with pytest.raises(KeyringError, match="stays revoked"):
        revoked.trusting(key.public, name="again")


@pytest.mark.parametrize(
    ("plugin", "at", "code"),
    [
        ("acme.upper", NOW, None),
        ("acme.upper", NOW - DAY, "early-key"),
        ("acme.upper", NOW + DAY, "expired-key"),
        ("acme", NOW, "id-not-allowed"),
        ("acmeevil.x", NOW, "id-not-allowed"),
    ],
)
def test_a_key_counts_in_its_time_and_for_its_plugins(
    key: SigningKey, plugin: str, at: datetime, code: str | None
) -> None:
    keyring = Keyring().trusting(
        key.public, name="mine", ids=("acme.*",), not_before=NOW, expires=NOW + DAY
    )
    objection = keyring.keys[key.id].objection(plugin, at)
    assert (objection and objection.code) == code


@pytest.mark.parametrize(
    ("seen", "version", "is_lower"),
    [
        ("1.9", "1.10", False),
        ("1.10", "1.9", True),
        ("1.0", "1.0", False),
        ("1.0", "1.0rc1", True),
        ("1.0", "1.0.0", False),
        ("1!1.0", "2.0", True),
    ],
)
def test_versions_are_compared_as_versions(seen: str, version: str, *, is_lower: bool) -> None:
    keyring = Keyring().having_seen("acme.upper", seen)
    assert keyring.is_downgrade("acme.upper", version) is is_lower
    assert not keyring.is_downgrade("acme.lower", version)
    assert keyring.having_seen("acme.upper", "0.1").versions == {"acme.upper": seen}


def test_a_key_under_another_ones_id_is_refused(key: SigningKey, other: SigningKey) -> None:
    text = Keyring().trusting(key.public, name="mine").to_json()
    with pytest.raises(KeyringError, match="another one's id"):
        Keyring.from_json(text.replace(key.id.encode(), other.id.encode()))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"author": 1', b'"author": 0'),
        (b'"thresholds": {\n    "author": 1\n  }', b'"thresholds": {}'),
        (b'"schema": 1', b'"schema": 2'),
        (b'"schema"', b'"shema"'),
        (b'"versions": {}', b'"versions": []'),
        (b"}", b""),
    ],
)
def test_a_keyring_that_says_something_else_is_refused(old: bytes, new: bytes) -> None:
    text = Keyring().to_json()
    assert old in text
    with pytest.raises(KeyringError):
        Keyring.from_json(text.replace(old, new))


@given(text=st.binary(max_size=40) | st.text(max_size=40).map(str.encode))
def test_any_text_is_a_keyring_or_a_refusal(text: bytes) -> None:
    try:
        Keyring.from_json(text)
    except OpenAutoGLMError as error:
        assert error.code == "OAG716"  # noqa: PT017 - either end is right


def test_thresholds_are_at_least_one_key() -> None:
    with pytest.raises(KeyringError, match="one key or more"):
        Keyring().requiring(author=0)
    with pytest.raises(KeyringError, match="one key or more"):
        Keyring().requiring()


def test_a_key_that_is_no_key_is_refused() -> None:
    with pytest.raises(KeyringError, match="31 bytes"):
        Keyring().trusting(b"x" * 31, name="short")


def test_no_file_is_an_empty_keyring_that_trusts_nobody(tmp_path: Path) -> None:
    keyring = KeyringFile(tmp_path / "none.json").read()
    assert keyring.keys == {}
    assert keyring.thresholds == {"author": 1}


def test_a_keyring_that_others_may_write_is_refused(tmp_path: Path) -> None:
    made = new_local_key(tmp_path, "mine")
    made.keyring.chmod(0o666)
    with pytest.raises(KeyringError, match="others may write"):
        KeyringFile(made.keyring).read()
    with pytest.raises(KeyringError, match="others may write"):
        new_local_key(tmp_path, "other")


def test_changes_from_several_threads_are_all_kept(tmp_path: Path) -> None:
    ring = KeyringFile(tmp_path / "keyring.json")

    def see(number: int) -> None:
        ring.update(lambda old: old.having_seen(f"acme.p{number}", "1.0"))

    threads = [threading.Thread(target=see, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ring.read().versions) == 8


def test_the_id_of_a_key_is_the_digest_of_its_bytes() -> None:
    assert key_id(b"") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
