"""Rows in and rows out, by URL: sources and sinks, and what a new kind of either must keep.

`file` is a transport, the ending or the part before a `+` says the format. Knows nothing of jobs,
of pipelines or of models.
"""

from openautoglm.data.catalog import SINKS, SOURCES, open_sink, open_source
from openautoglm.data.location import Location
from openautoglm.data.memory import MEMORY
from openautoglm.data.sink import Part, Receipt, Sink, SinkOpener, writing
from openautoglm.data.source import (
    Column,
    Description,
    Position,
    Record,
    Row,
    Shard,
    Source,
    SourceOpener,
)

__all__ = [
    "MEMORY",
    "SINKS",
    "SOURCES",
    "Column",
    "Description",
    "Location",
    "Part",
    "Position",
    "Receipt",
    "Record",
    "Row",
    "Shard",
    "Sink",
    "SinkOpener",
    "Source",
    "SourceOpener",
    "open_sink",
    "open_source",
    "writing",
]
