"""The kinds of sources and sinks there are, by the scheme of their URLs.

Owns `SOURCES`, `SINKS` and the choice of a kind for a URL. Knows nothing of how one reads or
writes.
"""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING, Final, TypeVar

from openautoglm.data.location import Location, Option, read_location
from openautoglm.errors import DataUrlError
from openautoglm.registry import Registry, suggest

if TYPE_CHECKING:
    import os

    from openautoglm.data.sink import Part, Sink, SinkOpener
    from openautoglm.data.source import Source, SourceOpener

Opener = TypeVar("Opener")
ALIASES: Final = {"ndjson": "jsonl"}
"""File endings that name a format of another name."""


def open_source(url: str | os.PathLike[str], **options: Option) -> Source:
    """Open what a URL or a path names, to read rows.

    Args:
        url: `reviews.jsonl`, a folder of parts such as `jsonl+file://answers/`, `memory://name`, or
            whatever a plugin adds.
        **options: of that kind of source; the same as `?name=value` in the URL.

    Raises:
        DataUrlError: no kind of source has this scheme or this file ending, or takes these options.
        InputNotFoundError: there is nothing.
    """
    location, opener = _chosen(SOURCES, url, options)
    return opener(location)


def open_sink(url: str | os.PathLike[str], *, part: Part | None = None, **options: Option) -> Sink:
    """Open what a URL or a path names, to write rows; `writing` commits or aborts it.

    Args:
        url: as for `open_source`.
        part: which part of a job's output it is to take; None for a whole output.
        **options: as for `open_source`.

    Raises:
        DataUrlError: as for `open_source`, or it takes no parts.
        OutputWriteError: nothing can be written there.
    """
    location, opener = _chosen(SINKS, url, options)
    return opener(location, part)


def _chosen(
    registry: Registry[Opener], url: str | os.PathLike[str], options: dict[str, Option]
) -> tuple[Location, Opener]:
    location = read_location(url, options)
    known = registry.names()
    for name in _names(location):
        if registry.has(name):
            return location, registry.get(name)
    ending = PurePath(location.path).suffix
    raise DataUrlError(
        f"no kind of data has the scheme `{location.scheme}`"
        if location.scheme != "file"
        else f"no kind of data has the ending `{ending}`",
        got=f"{location.shown}; known: {', '.join(known)}",
        fix=suggest(_names(location)[-1], known)
        or "say the format, as in jsonl+file://PATH, or install the plugin that brings it",
    )


def _names(location: Location) -> tuple[str, ...]:
    """Return the entries that could serve a location, the most particular first."""
    if location.format:
        return (location.scheme, location.format)
    if location.scheme == "file":
        ending = PurePath(location.path).suffix.removeprefix(".").lower()
        return (ALIASES.get(ending, ending),)
    return (location.scheme,)


def _add_sources(registry: Registry[SourceOpener]) -> None:
    from openautoglm.data.jsonl import open_jsonl
    from openautoglm.data.memory import open_memory

    registry.add("jsonl", open_jsonl)
    registry.add("memory", open_memory)


def _add_sinks(registry: Registry[SinkOpener]) -> None:
    from openautoglm.data.jsonl_sink import open_jsonl_sink
    from openautoglm.data.memory import open_memory_sink

    registry.add("jsonl", open_jsonl_sink)
    registry.add("memory", open_memory_sink)


SOURCES: Final[Registry[SourceOpener]] = Registry("source", builtins=_add_sources, point="source")
"""What opens a source, by scheme or by format."""

SINKS: Final[Registry[SinkOpener]] = Registry("sink", builtins=_add_sinks, point="sink")
"""What opens a sink, by scheme or by format."""
