"""Ed25519 keys: made, kept in a file that only their owner reads, and used to sign.

Owns `SigningKey` and the id of a public key. What it does not guard against: whoever can read the
owner's files can sign, unless there is a passphrase.
"""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, final

from openautoglm.errors import SigningKeyError
from openautoglm.settings import need

if TYPE_CHECKING:
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

PUBLIC_BYTES: Final = 32
WHY: Final = "signing plugins"
EXTRA: Final = "plugins"
OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


def key_id(public: bytes) -> str:
    """Return the id of a public key: the SHA-256 of its 32 bytes, in hexadecimal."""
    return hashlib.sha256(public).hexdigest()


def holds(public: bytes, signature: bytes, message: bytes) -> bool:
    """Whether a signature over a message is the key's."""
    need("cryptography", extra=EXTRA, why=WHY)
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKey:
    """A private key; `repr` shows its public half only.

    Attributes:
        public: the public key, 32 bytes.
        id: of the public key.
    """

    public: bytes
    id: str
    _private: Ed25519PrivateKey = field(repr=False)

    @classmethod
    def new(cls) -> SigningKey:
        """Make a key from the system's randomness."""
        need("cryptography", extra=EXTRA, why=WHY)
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        return _wrapped(Ed25519PrivateKey.generate())

    @classmethod
    def load(cls, path: Path, *, passphrase: str | None = None) -> SigningKey:
        """Read a private key (PKCS #8, PEM) that nobody else can read.

        Raises:
            SigningKeyError: it is not there, is readable by others, is no Ed25519 key, or the
                passphrase is wrong or missing.
        """
        need("cryptography", extra=EXTRA, why=WHY)
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        text = _read_private(path)
        secret = None if passphrase is None else passphrase.encode()
        try:
            private = load_pem_private_key(text, secret)
        except TypeError as cause:
            needs = "it has one" if passphrase is None else "it has none"
            raise SigningKeyError(
                f"the key `{path.name}` and a passphrase do not go together",
                got=needs,
                fix="give the passphrase if there is one, and none if not",
            ) from cause
        except (ValueError, UnsupportedAlgorithm) as cause:
            raise SigningKeyError(
                f"the key `{path.name}` cannot be read",
                got="a wrong passphrase, or no private key in PEM",
                fix="check the passphrase; `oag plugin key new NAME` makes a key",
            ) from cause
        if not isinstance(private, Ed25519PrivateKey):
            raise SigningKeyError(
                f"the key `{path.name}` is of another kind",
                got=type(private).__name__,
                fix="use an Ed25519 key; `oag plugin key new NAME` makes one",
            )
        return _wrapped(private)

    def save(self, path: Path, *, passphrase: str | None = None) -> None:
        """Write the private key to a new file that only its owner reads.

        Raises:
            SigningKeyError: there is a file already, or it cannot be written.
        """
        from cryptography.hazmat.primitives import serialization

        how: serialization.KeySerializationEncryption = serialization.NoEncryption()
        if passphrase is not None:
            how = serialization.BestAvailableEncryption(passphrase.encode())
        text = self._private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, how
        )
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            descriptor = os.open(path, flags, 0o600)
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(text)
                    file.flush()
                    os.fsync(file.fileno())
            except BaseException:
                path.unlink(missing_ok=True)  # a part of a key is in the way of the next
                raise
        except OSError as cause:
            raise SigningKeyError(
                "the key cannot be written",
                got=f"{path}: {cause.strerror}",
                fix="choose another name: a key is never overwritten"
                if isinstance(cause, FileExistsError)
                else "choose a folder that you may write: `--home`, or OPENAUTOGLM_HOME",
            ) from cause

    def sign(self, message: bytes) -> bytes:
        """Return the signature of a message: 64 bytes."""
        return self._private.sign(message)


def _wrapped(private: Ed25519PrivateKey) -> SigningKey:
    public = private.public_key().public_bytes_raw()
    return SigningKey(public=public, id=key_id(public), _private=private)


def _read_private(path: Path) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            mode = os.fstat(descriptor).st_mode
            text = file.read(1 << 16)
    except OSError as cause:
        raise SigningKeyError(
            "there is no such key",
            got=f"{path}: {cause.strerror}",
            fix="`oag plugin key new NAME` makes one",
        ) from cause
    if mode & OTHERS:
        raise SigningKeyError(
            f"others can read the key `{path.name}`",
            got=f"mode {stat.S_IMODE(mode):o}",
            fix=f"chmod 600 {path}; if it was read, revoke it and make another",
        )
    return text
