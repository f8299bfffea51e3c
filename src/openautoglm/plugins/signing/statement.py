"""What is signed: an in-toto statement (v1) on a package, its manifest and its check report.

Owns the format. A statement has one spelling: keys sorted, no spaces. Knows nothing of keys.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final, Literal, TypeAlias, final

import msgspec
from msgspec import Meta, Struct

from openautoglm.plugins.signing.reason import Refusal

TYPE: Final = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE: Final = "urn:openautoglm:plugin-package:v1"
MAX_SUBJECTS: Final = 20_001

Sha256: TypeAlias = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$", max_length=64)]
Moment: TypeAlias = Annotated[datetime, Meta(tz=True)]


@final
class Digest(Struct, frozen=True, forbid_unknown_fields=True):
    """A set of digests with one in it."""

    sha256: Sha256


@final
class Subject(Struct, frozen=True, forbid_unknown_fields=True):
    """One thing the statement is about."""

    name: str
    digest: Digest


@final
class Predicate(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """What is said of the package.

    Attributes:
        plugin: the id in its manifest.
        version: the version in its manifest.
        manifest: digest of the manifest's canonical JSON.
        report: digest of the check report's canonical JSON, or None.
        signed_at: when the first signer said so, in UTC.
    """

    plugin: str
    version: str
    manifest: Sha256
    signed_at: Moment
    report: Sha256 | None = None


@final
class Statement(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The statement: the package itself is its first subject, then come its files by name."""

    subject: Annotated[tuple[Subject, ...], Meta(min_length=1, max_length=MAX_SUBJECTS)]
    predicate: Predicate
    kind: Literal["https://in-toto.io/Statement/v1"] = msgspec.field(name="_type", default=TYPE)
    predicate_type: Literal["urn:openautoglm:plugin-package:v1"] = msgspec.field(
        name="predicateType", default=PREDICATE_TYPE
    )

    def encode(self) -> bytes:
        """Return the one spelling of the statement."""
        return msgspec.json.encode(self, order="sorted")

    @property
    def package(self) -> str:
        """The digest of the whole package."""
        return self.subject[0].digest.sha256

    @property
    def files(self) -> dict[str, str]:
        """The digest of each file by name."""
        return {each.name: each.digest.sha256 for each in self.subject[1:]}


def decode(payload: bytes) -> Statement:
    """Read a statement.

    Raises:
        Refusal: it is none, or not in its one spelling.
    """
    try:
        statement = msgspec.json.decode(payload, type=Statement)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as cause:
        raise Refusal("statement", cause) from cause
    if statement.encode() != payload:
        raise Refusal("statement", "spelled in another way")
    if len(statement.files) != len(statement.subject) - 1:
        raise Refusal("statement", "a file twice")
    return statement
