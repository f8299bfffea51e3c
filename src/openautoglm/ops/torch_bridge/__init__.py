"""Operators as torch sees them: schema, fake, gradient, autocast, vmap, and the way in from Python.

Imported at an operator's first call with torch's tensors. Every operator has two torch operators,
the public one with its gradient (`oag::name`, for graphs) and the raw one without (`oag::_name`,
for eager calls); both run whatever the kernel table says at that moment.
"""

from openautoglm.ops.torch_bridge.front import make_front

__all__ = ["make_front"]
