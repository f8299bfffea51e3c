"""Decisions by rules: Rego in, allow or deny with reasons out; anything but a plain yes is a no.

Owns `Policy` and the rules shipped with the package. Knows nothing of what is decided upon: the
input is JSON. The rules are trusted to mean well, not to be well written: they run in a process
of their own that is ended when it takes too long.
"""

from openautoglm.policy.document import Json, Limits
from openautoglm.policy.policy import DEFAULT_RULES, Decision, Policy

__all__ = ["DEFAULT_RULES", "Decision", "Json", "Limits", "Policy"]
