"""The project a plugin is written in: made from a template, alone or beside others in a workspace.

Knows nothing of packing, of installed plugins, or of how a contribution runs.
"""

from openautoglm.plugins.project.kinds import KINDS, Kind
from openautoglm.plugins.project.new import new_project

__all__ = ["KINDS", "Kind", "new_project"]
