"""How files are reached: this machine's disks, S3, the web; packed ones unpacked.

Owns the choice of a transport for a location. Knows no format.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from openautoglm.data.location import WEB
from openautoglm.errors import DataUrlError

if TYPE_CHECKING:
    from openautoglm.data.location import Location
    from openautoglm.data.sink import Part
    from openautoglm.data.transports.files import Files, Target

TRANSPORTS: Final = ("file", "s3", *WEB)
PACKED: Final = ".gz"


def options_of(location: Location) -> tuple[str, ...]:
    """Return the options that a location's transport takes."""
    from openautoglm.data.transports.s3 import OPTIONS

    return OPTIONS if _transport(location) == "s3" else ()


def files_of(location: Location) -> Files:
    """Return what reads the files of a location.

    Raises:
        DataUrlError: they are not to be had this way.
        MissingExtraError: the transport's package is not installed.
    """
    from openautoglm.data.transports.unzipped import UnzippedFiles

    return UnzippedFiles(_packed_files(location))


def _packed_files(location: Location) -> Files:
    transport = _transport(location)
    if transport == "s3":
        from openautoglm.data.transports.s3 import S3Files, connected

        return S3Files(*connected(location))
    if transport in WEB:
        from openautoglm.data.transports.web import WebFiles

        return WebFiles(transport)
    from openautoglm.data.transports.local import LocalFiles

    return LocalFiles()


def target_of(location: Location, part: Part | None, ending: str) -> Target:
    """Return the place of a whole output, or of one part in a folder.

    Raises:
        DataUrlError: nothing is put this way; a part and a file, or a folder without a part.
        MissingExtraError: as for `files_of`.
    """
    transport = _transport(location)
    _check_output(location, part, transport)
    name = "" if part is None else f"{part.job}-{part.shard:06d}"
    if transport == "s3":
        from openautoglm.data.transports.s3 import connected
        from openautoglm.data.transports.s3_target import S3Target

        path = f"{location.path}{name}{ending}" if part else location.path
        return S3Target(connected(location)[0], path, is_part=part is not None)
    from openautoglm.data.transports.local import LocalTarget

    place = Path(location.path)
    if part is None:
        # what a link leads to is written, on its own disk
        if os.path.islink(place):  # noqa: PTH114 - fails for no name
            place = Path(os.path.realpath(place))
        hidden = place.with_name(f".oag-{os.urandom(8).hex()}.tmp")
        return LocalTarget(place, hidden, is_part=False)
    hidden = place / f".{name}-a{part.attempt}.tmp"
    return LocalTarget(place / f"{name}{ending}", hidden, is_part=True)


def _transport(location: Location) -> str:
    """Return how a location's bytes are reached; a scheme of a format alone means files."""
    is_alone = "+" not in location.scheme and location.scheme not in TRANSPORTS
    transport = "file" if is_alone else location.transport
    if transport not in TRANSPORTS:
        raise DataUrlError(
            f"files are not read or written over `{transport}`",
            got=location.shown,
            fix=f"files are reached over {', '.join(TRANSPORTS)}, as in jsonl+file://PATH",
        )
    if not location.path:
        raise DataUrlError(
            "the URL names no file", got=location.shown, fix="name a file: jsonl+file://PATH"
        )
    return transport


def _check_output(location: Location, part: Part | None, transport: str) -> None:
    if transport in WEB:
        raise DataUrlError(
            "web servers take no output", got=location.shown, fix="write to a disk or to s3://"
        )
    if location.path.lower().endswith(PACKED):
        raise DataUrlError(
            "outputs are not written packed",
            got=location.shown,
            fix=f"leave out {PACKED}; Parquet files are packed in themselves",
        )
    is_local_folder = transport == "file" and os.path.isdir(location.path)  # noqa: PTH112 - fails for no name
    is_folder = location.path.endswith(("/", os.sep)) or is_local_folder
    if is_folder != (part is not None):
        raise DataUrlError(
            "parts go into a folder, a whole output goes into a file",
            got=f"{location.shown} and {'a part' if part else 'no part'}",
            fix="end the path of a folder in /" if part else "name a file, as in answers.jsonl",
        )
