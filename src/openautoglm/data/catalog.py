"""The kinds of sources and sinks there are, by the scheme of their URLs.

Owns `SOURCES`, `SINKS` and the choice of a kind for a URL: what was registered for all of a scheme
(`jsonl+file`) comes before what was for its format (`jsonl`), and a format that is there serves the
transports that are here before a plugin is looked for. Knows nothing of how one reads or writes.
"""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING, Final, TypeVar

from openautoglm.data.location import WEB, Location, Option, read_location
from openautoglm.data.transports import PACKED, TRANSPORTS
from openautoglm.errors import DataUrlError
from openautoglm.registry import Registry, suggest

if TYPE_CHECKING:
    import os

    from openautoglm.data.sink import Part, Sink, SinkOpener
    from openautoglm.data.source import Source, SourceOpener

Opener = TypeVar("Opener")
ALIASES: Final = {"ndjson": "jsonl", "pq": "parquet", "tsv": "csv"}
"""File endings that name a format of another name."""


def open_source(url: str | os.PathLike[str], **options: Option) -> Source:
    """Open what a URL or a path names, to read rows.

    Args:
        url: `reviews.jsonl`, `https://host/reviews.csv.gz`, a folder of parts such as
            `parquet+s3://bucket/answers/`, `memory://name`, or whatever a plugin adds.
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
    known, names = registry.names(), _names(location)
    there = [name for name in names if name in known]
    if there and (there[0] == names[0] or location.transport in TRANSPORTS):
        return location, registry.get(there[0])  # no plugin is looked for
    for name in names:
        if registry.has(name):
            return location, registry.get(name)
    is_of_files = location.scheme in TRANSPORTS
    raise DataUrlError(
        f"no kind of data has the ending `{_ending(location)}`"
        if is_of_files
        else f"no kind of data has the scheme `{location.scheme}`",
        got=f"{location.shown}; known: {', '.join(known)}",
        fix=suggest(names[-1], known)
        or "say the format, as in jsonl+file://PATH, or install the plugin that brings it",
    )


def _names(location: Location) -> tuple[str, ...]:
    """Return the entries that could serve a location, the most particular first."""
    if location.format:
        return (location.scheme, location.format)
    if location.scheme in TRANSPORTS:
        ending = _ending(location).removeprefix(".")
        return (ALIASES.get(ending, ending),)
    return (location.scheme,)


def _ending(location: Location) -> str:
    """Return what a file's name ends in, behind which it may be packed."""
    path = location.path.partition("?")[0] if location.scheme in WEB else location.path
    return PurePath(path.lower().removesuffix(PACKED)).suffix


def _add_sources(registry: Registry[SourceOpener]) -> None:
    from openautoglm.data.batches import open_batch
    from openautoglm.data.datasets import open_hf
    from openautoglm.data.folders import open_folder
    from openautoglm.data.formats import open_csv, open_jsonl, open_parquet
    from openautoglm.data.memory import open_memory
    from openautoglm.data.tables.opening import open_postgresql, open_sqlite

    registry.add("csv", open_csv)
    registry.add("folder", open_folder)
    registry.add("hf", open_hf)
    registry.add("jsonl", open_jsonl)
    registry.add("memory", open_memory)
    registry.add("openai-batch", open_batch)
    registry.add("parquet", open_parquet)
    registry.add("postgresql", open_postgresql)
    registry.add("sqlite", open_sqlite)


def _add_sinks(registry: Registry[SinkOpener]) -> None:
    from openautoglm.data.batches import open_batch_sink
    from openautoglm.data.formats import open_csv_sink, open_jsonl_sink, open_parquet_sink
    from openautoglm.data.memory import open_memory_sink
    from openautoglm.data.tables.opening import open_postgresql_sink, open_sqlite_sink

    registry.add("csv", open_csv_sink)
    registry.add("jsonl", open_jsonl_sink)
    registry.add("memory", open_memory_sink)
    registry.add("openai-batch", open_batch_sink)
    registry.add("parquet", open_parquet_sink)
    registry.add("postgresql", open_postgresql_sink)
    registry.add("sqlite", open_sqlite_sink)


SOURCES: Final[Registry[SourceOpener]] = Registry("source", builtins=_add_sources, point="source")
"""What opens a source, by scheme or by format."""

SINKS: Final[Registry[SinkOpener]] = Registry("sink", builtins=_add_sinks, point="sink")
"""What opens a sink, by scheme or by format."""
