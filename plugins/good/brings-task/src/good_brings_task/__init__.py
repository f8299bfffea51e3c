"""A task: the file beside this one."""
