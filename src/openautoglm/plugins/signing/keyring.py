"""Whom to trust: public keys with roles, terms and limits, and the versions seen so far.

Owns `Keyring`, a value, and `KeyringFile`, where it is kept. Pure but for the file. What it does
not guard against: whoever can write the file decides whom to trust.
"""

from __future__ import annotations

import base64
import binascii
import os
import stat
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Annotated, Final, Literal, TypeAlias, final

import msgspec
from msgspec import Meta, Struct, structs

from openautoglm.errors import KeyringError
from openautoglm.native.cache import put, turn
from openautoglm.plugins.ranges import is_lower
from openautoglm.plugins.signing.keys import PUBLIC_BYTES, key_id
from openautoglm.plugins.signing.reason import Reason
from openautoglm.plugins.signing.statement import Moment, Sha256  # noqa: TC001 - for msgspec

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path

Role: TypeAlias = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9-]*\Z", max_length=40)]
AUTHOR: Final = "author"
FILE_NAME: Final = "keyring.json"
ANEW: Final = "Or move the file away, and trust each key again: `oag plugin key trust`"
WRITABLE: Final = stat.S_IWGRP | stat.S_IWOTH


@final
class Revocation(Struct, frozen=True, forbid_unknown_fields=True):
    """When a key was given up, and why; signatures of any time are refused from then on."""

    at: Moment
    reason: str = ""


@final
class TrustedKey(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A public key and what it may do.

    Attributes:
        public: the key, 32 bytes in base64.
        name: for people.
        roles: what it signs as.
        ids: the plugins it may sign, as patterns with `*`.
        not_before: from when it counts; None for ever.
        expires: from when it counts no longer; None for never.
        revoked: set when it was given up.
    """

    public: str
    name: str
    roles: Annotated[tuple[Role, ...], Meta(min_length=1)] = (AUTHOR,)
    ids: Annotated[tuple[str, ...], Meta(min_length=1)] = ("*",)
    not_before: Moment | None = None
    expires: Moment | None = None
    revoked: Revocation | None = None

    @property
    def public_bytes(self) -> bytes:
        """The key itself."""
        try:
            public = base64.b64decode(self.public, validate=True)
        except (binascii.Error, ValueError) as cause:
            raise KeyringError(
                f"the key `{self.name}` is no base64",
                got=self.public[:80],
                fix=f"mend it in the keyring. {ANEW}",
            ) from cause
        if len(public) != PUBLIC_BYTES:
            raise KeyringError(
                f"the key `{self.name}` is no Ed25519 key",
                got=f"{len(public)} bytes",
                fix=f"a public key has {PUBLIC_BYTES}",
            )
        return public

    def objection(self, plugin: str, now: datetime) -> Reason | None:
        """Return why the key does not count for a plugin now, or None where it does."""
        if self.revoked is not None:
            why = f" ({self.revoked.reason})" if self.revoked.reason else ""
            return Reason(code="revoked-key", detail=f"{self.name}{why}")
        if self.not_before is not None and now < self.not_before:
            return Reason(code="early-key", detail=f"{self.name}, not before {self.not_before}")
        if self.expires is not None and now >= self.expires:
            return Reason(code="expired-key", detail=f"{self.name}, since {self.expires}")
        if not any(fnmatchcase(plugin, pattern) for pattern in self.ids):
            return Reason(code="id-not-allowed", detail=f"{self.name} may not sign {plugin}")
        return None


@final
class Keyring(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Keys by id, how many of each role a package needs, and the highest versions seen.

    Attributes:
        keys: by id.
        thresholds: keys needed of each role; all must be met. A key counts for each of its roles.
        versions: the highest version seen of each plugin.
    """

    schema: Literal[1] = 1
    keys: dict[Sha256, TrustedKey] = {}
    thresholds: dict[Role, Annotated[int, Meta(ge=1, le=32)]] = msgspec.field(
        default_factory=lambda: {AUTHOR: 1}
    )
    versions: dict[str, str] = {}

    @classmethod
    def from_json(cls, text: bytes, *, name: str = FILE_NAME) -> Keyring:
        """Read a keyring.

        Raises:
            KeyringError: it is none, a key does not have the id it stands under, or nothing at all
                would be needed to be trusted.
        """
        try:
            keyring = msgspec.json.decode(text, type=cls)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as cause:
            raise KeyringError(
                f"{name} is no keyring", got=str(cause), fix=f"mend what is named. {ANEW}"
            ) from cause
        for key, trusted in keyring.keys.items():
            if key_id(trusted.public_bytes) != key:
                raise KeyringError(
                    f"a key in {name} stands under another one's id",
                    got=f"{trusted.name}: {key}",
                    fix=f"remove it. {ANEW}",
                )
        if not keyring.thresholds:
            raise KeyringError(
                f"{name} asks for no signature at all",
                got="thresholds: {}",
                fix='write "thresholds": {"author": 1}',
            )
        return keyring

    def to_json(self) -> bytes:
        """Write it for people to read and compare."""
        return msgspec.json.format(msgspec.json.encode(self, order="sorted"), indent=2) + b"\n"

    def trusting(
        self,
        public: bytes,
        *,
        name: str,
        roles: tuple[str, ...] = (AUTHOR,),
        ids: tuple[str, ...] = ("*",),
        not_before: datetime | None = None,
        expires: datetime | None = None,
    ) -> Keyring:
        """Return a keyring with one key more.

        Raises:
            KeyringError: the key or its name is there already, or it is no key.
        """
        trusted = TrustedKey(
            public=base64.b64encode(public).decode(),
            name=name,
            roles=roles,
            ids=ids,
            not_before=not_before,
            expires=expires,
        )
        key = key_id(trusted.public_bytes)
        if key in self.keys or any(each.name == name for each in self.keys.values()):
            raise KeyringError(
                f"a key is called `{name}` already, or is there already",
                got=key,
                fix="choose another name; a revoked key stays, so that it stays revoked",
            )
        return structs.replace(self, keys={**self.keys, key: trusted})

    def revoking(self, key: str, *, at: datetime, reason: str = "") -> Keyring:
        """Return a keyring in which a key, by id or name, is revoked.

        Raises:
            KeyringError: there is no such key.
        """
        found = self.find(key)
        if self.keys[found].revoked is not None:
            return self
        revoked = structs.replace(self.keys[found], revoked=Revocation(at=at, reason=reason))
        return structs.replace(self, keys={**self.keys, found: revoked})

    def requiring(self, **thresholds: int) -> Keyring:
        """Return a keyring that asks for so many keys of each role, and of no other role.

        Raises:
            KeyringError: a number is less than one, or there is none.
        """
        if not thresholds or min(thresholds.values()) < 1:
            raise KeyringError("a threshold is one key or more", got=str(thresholds))
        return structs.replace(self, thresholds=thresholds)

    def having_seen(self, plugin: str, version: str) -> Keyring:
        """Return a keyring that remembers a version, where it is the highest so far."""
        if plugin in self.versions and not _is_higher(version, self.versions[plugin]):
            return self
        return structs.replace(self, versions={**self.versions, plugin: version})

    def is_downgrade(self, plugin: str, version: str) -> bool:
        """Whether a higher version of the plugin was seen."""
        return plugin in self.versions and _is_higher(self.versions[plugin], version)

    def find(self, key: str) -> str:
        """Return the id of a key given by id or name.

        Raises:
            KeyringError: there is no such key.
        """
        for found, trusted in self.keys.items():
            if key in {found, trusted.name}:
                return found
        known = ", ".join(trusted.name for trusted in self.keys.values()) or "none"
        raise KeyringError(f"no key is called `{key}`", got=f"known: {known}")


@final
class KeyringFile:
    """A keyring in a file that nobody but its owner may write.

    Args:
        path: of the file; where there is none, the keyring is empty.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> Keyring:
        """Return the keyring.

        Raises:
            KeyringError: it cannot be read, others may write it, or it is no keyring.
        """
        try:
            with self.path.open("rb") as file:
                mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
                text = file.read()
        except FileNotFoundError:
            return Keyring()
        except OSError as cause:
            raise KeyringError(
                "the keyring cannot be read",
                got=f"{self.path}: {cause.strerror}",
                fix="set OPENAUTOGLM_HOME to a folder that you may enter",
            ) from cause
        if mode & WRITABLE:
            raise KeyringError(
                "others may write the keyring",
                got=f"{self.path}: mode {mode:o}",
                fix=f"look through it, then chmod go-w {self.path}",
            )
        return Keyring.from_json(text, name=self.path.name)

    def update(self, change: Callable[[Keyring], Keyring]) -> Keyring:
        """Replace the keyring by what `change` makes of it; others who do so take turns.

        Raises:
            KeyringError: it cannot be read or written; then it is as it was.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with turn(self.path.with_name(self.path.name + ".lock")):
                before = self.read()
                keyring = change(before)
                if keyring is not before:
                    put(self.path, keyring.to_json(), mode=0o600)
        except OSError as cause:
            raise KeyringError(
                "the keyring cannot be written; it is as it was",
                got=f"{cause.filename or self.path}: {cause.strerror}",
                fix="set OPENAUTOGLM_HOME to a folder that you may write and that has room",
            ) from cause
        return keyring


def _is_higher(version: str, than: str) -> bool:
    is_higher = is_lower(than, version)
    if is_higher is None:
        raise KeyringError(
            "this is no version",
            got=f"{version}, {than}",
            fix='mend "versions" of the keyring',
        )
    return is_higher
