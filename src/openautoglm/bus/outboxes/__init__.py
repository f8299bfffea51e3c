"""The stores of durable messages, one a file: `memory`, `sqlite`, `nats`, `redis`.

All do what `Outbox` says and pass one suite (`tests/conformance/bus`). The modules of NATS and
Redis need the extras of their names.
"""
