"""A key of one's own, made and trusted in one step, so that nobody turns verification off."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, final

from openautoglm.errors import SigningKeyError
from openautoglm.plugins.signing.keyring import AUTHOR, FILE_NAME, KeyringFile
from openautoglm.plugins.signing.keys import SigningKey

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class LocalKey:
    """A key that was made: where its private half lies, and which keyring trusts it."""

    key: SigningKey
    path: Path
    keyring: Path


def key_path(home: Path, name: str) -> Path:
    """Return where the private key of a name lies below a home folder.

    Raises:
        SigningKeyError: the name is none that a file can have everywhere.
    """
    if NAME.fullmatch(name) is None:
        raise SigningKeyError(
            "this is no name for a key",
            got=name,
            fix="use lower-case letters, digits, dots, hyphens and underscores",
        )
    return home / "keys" / f"{name}.pem"


def new_local_key(
    home: Path,
    name: str,
    *,
    passphrase: str | None = None,
    roles: tuple[str, ...] = (AUTHOR,),
    ids: tuple[str, ...] = ("*",),
    expires: datetime | None = None,
) -> LocalKey:
    """Make a key and trust it on this machine.

    Args:
        home: the folder of keys and keyring.
        name: of the key.
        passphrase: to lock the private key with; None keeps it readable for its owner's programs.
        roles: what it signs as.
        ids: the plugins it may sign, as patterns with `*`.
        expires: from when it counts no longer.

    Raises:
        SigningKeyError: there is such a key already, or it cannot be written.
        KeyringError: the keyring has a key of that name.
    """
    path = key_path(home, name)
    ring = KeyringFile(home / FILE_NAME)
    ring.read()  # one that cannot be read leaves no key behind
    key = SigningKey.new()
    key.save(path, passphrase=passphrase)
    try:
        ring.update(
            lambda old: old.trusting(key.public, name=name, roles=roles, ids=ids, expires=expires)
        )
    except BaseException:
        path.unlink()
        raise
    return LocalKey(key=key, path=path, keyring=ring.path)
