"""What jobs and schedules remember, in SQLite or PostgreSQL: `open_ledger` and its records.

Every write for a shard names the attempt it is for, and is refused once another attempt began.
"""
