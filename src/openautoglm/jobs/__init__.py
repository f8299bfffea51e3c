"""Rows by the million and work at set times: batches that survive kill -9, and schedules.

`BatchJob` describes a batch, `Run` follows one, `Schedule` says when; the ledger remembers. Knows
nothing of how a model answers.
"""
