"""Who works on a job: worker processes on this machine, or on the nodes of a Ray cluster.

Both are a `Crew`, and both run the same worker program, so what a job guarantees does not depend on
where it runs.
"""
