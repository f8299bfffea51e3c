"""Many machines: what each offers to jobs, and what it lacks of a job.

Ray knows which machines there are and places workers on them; nothing here runs a job.
"""
