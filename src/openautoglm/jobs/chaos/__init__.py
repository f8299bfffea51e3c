"""Jobs under attack, for acceptance: processes are killed and stopped while a batch runs.

`assault` does it and counts what was lost, doubled and computed again.
"""
