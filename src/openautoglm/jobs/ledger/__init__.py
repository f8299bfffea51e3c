"""What jobs and schedules remember, in SQLite or PostgreSQL: `open_ledger` and its records.

Every write for a shard names the attempt it is for, and is refused once another attempt began.
"""

from __future__ import annotations

from openautoglm.jobs.ledger.open import open_database, open_ledger

__all__ = ["open_database", "open_ledger"]
