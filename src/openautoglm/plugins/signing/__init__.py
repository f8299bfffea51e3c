"""Signatures on plugins: who stands for these bytes, and that what is loaded is what was signed.

Owns keys, the keyring, statements in DSSE envelopes, verdicts and the store of verified content.
Knows nothing of what a trusted plugin may do: that is policy.
"""

from openautoglm.plugins.signing.keyring import Keyring, KeyringFile, TrustedKey
from openautoglm.plugins.signing.keys import SigningKey
from openautoglm.plugins.signing.local import LocalKey, new_local_key
from openautoglm.plugins.signing.package import Package
from openautoglm.plugins.signing.reason import Code, Reason
from openautoglm.plugins.signing.sign import sign
from openautoglm.plugins.signing.store import ContentStore, StoredContent
from openautoglm.plugins.signing.verify import State, Verdict, sidecar, verify, verify_bytes

__all__ = [
    "Code",
    "ContentStore",
    "Keyring",
    "KeyringFile",
    "LocalKey",
    "Package",
    "Reason",
    "SigningKey",
    "State",
    "StoredContent",
    "TrustedKey",
    "Verdict",
    "new_local_key",
    "sidecar",
    "sign",
    "verify",
    "verify_bytes",
]
