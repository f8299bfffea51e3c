"""What opens batch files by their URLs. Owns their options."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from openautoglm.data.batches.answers import AnswersFormat
from openautoglm.data.batches.requests import RequestsFormat, tell_size
from openautoglm.data.formats.file_sink import FileSink
from openautoglm.data.formats.file_source import FileSource
from openautoglm.data.transports import files_of, options_of, target_of

if TYPE_CHECKING:
    from openautoglm.data.location import Location
    from openautoglm.data.sink import Part

ID: Final = "id"


def open_batch(location: Location) -> FileSource:
    """Open a file of requests, a folder or a pattern of them.

    Raises:
        DataUrlError: an option is unknown, or files are not reached this way.
        InputNotFoundError: there is no such file.
    """
    location.check_options(*options_of(location))
    form, files = RequestsFormat(), files_of(location)
    found = files.find(location.path, form.endings)
    for stored in found:
        tell_size(stored)
    return FileSource(files, found, form, url=location.shown)


def open_batch_sink(location: Location, part: Part | None) -> FileSink:
    """Open a file of answers to write, or one part file in a folder.

    Option: `id` names the column that holds the requests' `custom_id`.

    Raises:
        DataUrlError: a part and a file, a folder without a part, or an option that is unknown.
        OutputWriteError: nothing can be written there.
    """
    location.check_options(ID, *options_of(location))
    form = AnswersFormat(str(location.options.get(ID, "")))
    return FileSink(target_of(location, part, form.endings[0]), form, is_part=part is not None)
