"""Signatures on plugins: who stands for these bytes, and that what is loaded is what was signed.

Owns keys, the keyring, statements in DSSE envelopes and verdicts. Knows nothing of where verified
content is kept, nor of what a trusted plugin may do: that is policy.
"""

from openautoglm.plugins.signing.keyring import Keyring, KeyringFile, TrustedKey
from openautoglm.plugins.signing.keys import SigningKey
from openautoglm.plugins.signing.local import LocalKey, new_local_key
from openautoglm.plugins.signing.package import Package
from openautoglm.plugins.signing.reason import Code, Reason
from openautoglm.plugins.signing.sign import sign
from openautoglm.plugins.signing.verify import State, Verdict, judge, sidecar, verify, verify_bytes

__all__ = [
    "Code",
    "Keyring",
    "KeyringFile",
    "LocalKey",
    "Package",
    "Reason",
    "SigningKey",
    "State",
    "TrustedKey",
    "Verdict",
    "judge",
    "new_local_key",
    "sidecar",
    "sign",
    "verify",
    "verify_bytes",
]
