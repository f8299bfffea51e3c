"""A folder written by `save_to_disk`, or one of Arrow files: which files are its rows.

Owns `open_hf`. Knows the folder's small JSON files and nothing of Arrow.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

from openautoglm.data.datasets.ipc import IpcFormat
from openautoglm.data.formats.file_source import FileSource
from openautoglm.data.transports.local import LocalFiles
from openautoglm.errors import DataUrlError, InputDecodeError, InputNotFoundError
from openautoglm.platform_io.refusals import not_found, unreadable
from openautoglm.registry import suggest

if TYPE_CHECKING:
    from openautoglm.data.location import Location

STATE: Final = "state.json"
SPLITS: Final = "dataset_dict.json"
TRANSPORTS: Final = ("hf", "file")


class _File(msgspec.Struct):
    filename: str


class _State(msgspec.Struct):
    data_files: list[_File] = msgspec.field(name="_data_files")
    indices_files: list[object] | None = msgspec.field(name="_indices_data_files", default=None)


class _Splits(msgspec.Struct):
    splits: list[str]


Saved = TypeVar("Saved", _State, _Splits)


def open_hf(location: Location) -> FileSource:
    """Open a dataset on this machine's disks; `split` names one of several.

    Raises:
        DataUrlError: it has splits and none is named, or the other way round; it is no dataset.
        InputDecodeError: a file of it is damaged.
        InputNotFoundError: there is no such folder or split.
        MissingExtraError: pyarrow is not installed.
    """
    location.check_options("split")
    if location.transport not in TRANSPORTS:
        raise DataUrlError(
            f"datasets are not read over `{location.transport}`",
            got=location.shown,
            fix="copy the folder to a disk: hf:///data/reviews",
        )
    folder = Path(location.path)
    if not location.path or not folder.is_dir():
        raise not_found(
            str(folder),
            hint="; a dataset of the hub is saved first: load_dataset(NAME).save_to_disk(PATH)",
        )
    folder = _split_of(folder, str(location.options.get("split", "")), location)
    form = IpcFormat()
    files = LocalFiles()
    found = [stored for path in _files_of(folder, location) for stored in files.find(path, ())]
    return FileSource(files, found, form, url=location.shown)


def _split_of(folder: Path, split: str, location: Location) -> Path:
    there = folder / SPLITS
    if not there.exists():
        if not split:
            return folder
        raise DataUrlError(
            "this dataset has no splits", got=location.shown, fix="leave ?split= out"
        )
    splits = _decoded(there, _Splits).splits
    if not split:
        raise DataUrlError(
            "this dataset has several splits",
            got=location.shown,
            fix=f"name one: ?split={splits[0] if splits else 'NAME'}; there are "
            f"{', '.join(splits) or 'none'}",
        )
    if split not in splits:
        raise InputNotFoundError(
            f"there is no split `{split}`",
            got=location.shown,
            fix=suggest(split, tuple(splits)) or f"splits: {', '.join(splits) or 'none'}",
        )
    return folder / split


def _files_of(folder: Path, location: Location) -> list[str]:
    """Return the files of rows in their order."""
    state = folder / STATE
    if state.exists():
        saved = _decoded(state, _State)
        if saved.indices_files:
            raise DataUrlError(
                "rows of this dataset were selected or shuffled without being written",
                got=location.shown,
                fix="write them: dataset.flatten_indices().save_to_disk(PATH)",
            )
        names = [file.filename for file in saved.data_files]
        if not names:
            raise DataUrlError(
                "this dataset has no rows", got=location.shown, fix="save one that has some"
            )
    else:
        names = sorted(path.name for path in folder.glob("*.arrow"))
    if not names or any(Path(name).name != name for name in names):
        raise DataUrlError(
            "this is no folder of a dataset",
            got=location.shown,
            fix="name one that save_to_disk wrote, or one of .arrow files",
        )
    return [str(folder / name) for name in names]


def _decoded(path: Path, kind: type[Saved]) -> Saved:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except OSError as cause:
        raise unreadable(str(path), cause) from cause
    except (msgspec.DecodeError, UnicodeDecodeError) as cause:
        raise InputDecodeError(
            f"`{path.name}` is not what save_to_disk writes: {cause}",
            got=str(path),
            fix="save the dataset again",
        ) from cause
