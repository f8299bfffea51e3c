"""What opens batch files by their URLs. Owns their options."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from openautoglm.data.batches.answers import AnswersFormat
from openautoglm.data.batches.requests import MOST_REQUESTS, RequestsFormat, check_size
from openautoglm.data.formats.file_sink import FileSink
from openautoglm.data.formats.file_source import FileSource
from openautoglm.data.transports import files_of, options_of, target_of
from openautoglm.errors import DataUrlError

if TYPE_CHECKING:
    from openautoglm.data.location import Location
    from openautoglm.data.sink import Part

ID: Final = "id"
LIMITS: Final = "limits"
OPENAI: Final = "openai"


def open_batch(location: Location) -> FileSource:
    """Open a file of requests, a folder or a pattern of them.

    Option: `limits=openai` refuses files that OpenAI would not take.

    Raises:
        DataUrlError: an option is unknown, files are not reached this way, or one is too large.
        InputNotFoundError: there is no such file.
    """
    location.check_options(LIMITS, *options_of(location))
    is_limited = _is_limited(location)
    form, files = RequestsFormat(MOST_REQUESTS if is_limited else None), files_of(location)
    found = files.find(location.path, form.endings)
    for stored in found if is_limited else ():
        check_size(stored)
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


def _is_limited(location: Location) -> bool:
    limits = str(location.options.get(LIMITS, ""))
    if limits not in {"", OPENAI}:
        raise DataUrlError(
            f"there are no limits `{limits}`", got=location.shown, fix=f"{LIMITS}={OPENAI}, or none"
        )
    return limits == OPENAI
