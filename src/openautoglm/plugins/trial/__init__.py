"""What a plugin does when it is run, found out in a sandbox.

Every question is answered in a process of its own that is confined first; what crashes or hangs
there is a finding. That guards against mistakes and keeps malice inside the sandbox, but a plugin
that knows it is looked at can behave: what is promised for good is what the sandbox enforces.
"""
