"""What can be said of a plugin without running any of it.

Reads the manifest, parses the sources, reads native libraries as files. Nothing of the plugin is
imported, so nothing of it can hide behind its own code; what it does is asked by the trial.
"""
