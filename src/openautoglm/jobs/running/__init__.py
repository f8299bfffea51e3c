"""The worker process of a batch: it claims shards, works on their rows, and commits them.

`python -m openautoglm.jobs.running.worker` is the program. Knows nothing of planning, of drivers
and of budgets.
"""
