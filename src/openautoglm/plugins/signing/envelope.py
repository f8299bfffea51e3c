"""DSSE envelopes: a payload, its type, and signatures over both.

Owns the format (https://github.com/secure-systems-lab/dsse, version 1.0.2). Stricter than it has
to be: unknown fields, loose base64 and two signatures of one key are refused, so that an envelope
has one spelling. Knows nothing of what the payload says, nor of whom to trust.
"""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Final, final

import msgspec
from msgspec import Meta, Struct

from openautoglm.plugins.signing.reason import Refusal

PAYLOAD_TYPE: Final = "application/vnd.in-toto+json"
MAX_SIGNATURES: Final = 32
MAX_BYTES: Final = 16 << 20
SIGNATURE_BYTES: Final = 64


@final
class Signature(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One signature, as it is written."""

    keyid: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$", max_length=64)]
    sig: str


@final
class Envelope(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """An envelope, as it is written."""

    payload: str
    payload_type: str
    signatures: Annotated[tuple[Signature, ...], Meta(min_length=1, max_length=MAX_SIGNATURES)]


def encode(payload: bytes, signatures: dict[str, bytes]) -> bytes:
    """Return the envelope of a payload with signatures by key id, as JSON."""
    envelope = Envelope(
        payload=base64.b64encode(payload).decode(),
        payload_type=PAYLOAD_TYPE,
        signatures=tuple(
            Signature(keyid=key, sig=base64.b64encode(signature).decode())
            for key, signature in sorted(signatures.items())
        ),
    )
    return msgspec.json.encode(envelope) + b"\n"


def decode(text: bytes) -> tuple[bytes, dict[str, bytes]]:
    """Return payload and signatures by key id.

    Raises:
        Refusal: it is no envelope of ours.
    """
    if len(text) > MAX_BYTES:
        raise Refusal("envelope", f"{len(text)} bytes")
    try:
        envelope = msgspec.json.decode(text, type=Envelope)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as cause:
        raise Refusal("envelope", cause) from cause
    if envelope.payload_type != PAYLOAD_TYPE:
        raise Refusal("envelope", f"payload of type {envelope.payload_type}")
    signatures = {each.keyid: _exact(each.sig) for each in envelope.signatures}
    if len(signatures) != len(envelope.signatures):
        raise Refusal("envelope", "two signatures of one key")
    return _exact(envelope.payload), signatures


def message(payload: bytes) -> bytes:
    """Return what is signed: the type and the payload, each with its length before it.

    Example:
        >>> message(b"{}")
        b'DSSEv1 28 application/vnd.in-toto+json 2 {}'
    """
    kind = PAYLOAD_TYPE.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def _exact(text: str) -> bytes:
    try:
        decoded = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as cause:
        raise Refusal("envelope", "base64") from cause
    if base64.b64encode(decoded).decode() != text:
        raise Refusal("envelope", "base64 with loose ends")
    return decoded
