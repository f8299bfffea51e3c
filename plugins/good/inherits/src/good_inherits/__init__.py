"""A step that writes a text in capitals, put together from parts."""

from good_inherits._parts import Upper as Shout

__all__ = ["Shout"]
