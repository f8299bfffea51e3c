"""A folder written by `save_to_disk`, one of the cache of `datasets`, or one of Arrow files.

Owns `open_hf`: which files are its rows. Knows the folder's small JSON files and nothing of Arrow.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from glob import escape
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

from openautoglm.data.datasets.ipc import IpcFormat
from openautoglm.data.formats.file_source import FileSource
from openautoglm.data.transports.local import LocalFiles, folder_of
from openautoglm.errors import DataUrlError, InputDecodeError, InputNotFoundError
from openautoglm.platform_io.refusals import not_found, unreadable
from openautoglm.registry import suggest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from openautoglm.data.location import Location

STATE: Final = "state.json"
SPLITS: Final = "dataset_dict.json"
INFO: Final = "dataset_info.json"
SHARD: Final = "-[0-9][0-9][0-9][0-9][0-9]-of-[0-9][0-9][0-9][0-9][0-9]"
CACHED: Final = ("cache-", "tmp")
"""How files begin that `datasets` keeps beside the rows, in a folder of its cache."""


class _File(msgspec.Struct):
    filename: str


class _State(msgspec.Struct):
    data_files: list[_File] = msgspec.field(name="_data_files")
    indices_files: list[object] | None = msgspec.field(name="_indices_data_files", default=None)


class _Splits(msgspec.Struct):
    splits: list[str]


class _Info(msgspec.Struct):
    splits: dict[str, object] | None = None


Saved = TypeVar("Saved", _State, _Splits, _Info)


def open_hf(location: Location) -> FileSource:
    """Open a dataset on this machine's disks; `split` names one of several.

    Raises:
        DataUrlError: it has splits and none is named, or the other way round; it is no dataset.
        InputDecodeError: a file of it is damaged.
        InputNotFoundError: there is no such folder or split.
        MissingExtraError: pyarrow is not installed.
    """
    location.check_options("split")
    hint = "; a dataset of the hub is saved first: load_dataset(NAME).save_to_disk(PATH)"
    folder = folder_of(location, rows="datasets", hint=hint)
    split = str(location.options.get("split", ""))
    if (folder / SPLITS).exists():
        folder, split = _split_of(folder, split, location), ""
    form = IpcFormat()
    files = LocalFiles()
    names = _files_of(folder, split, location)
    found = [stored for name in names for stored in files.find(str(folder / name), ())]
    return FileSource(files, found, form, url=location.shown)


def _split_of(folder: Path, split: str, location: Location) -> Path:
    splits = _decoded(folder / SPLITS, _Splits).splits
    _check_split(split, splits, location)
    if split != Path(split).name or not (folder / split).is_dir():
        raise not_found(str(folder / split), hint="; the split was not copied with the dataset")
    return folder / split


def _check_split(split: str, splits: Sequence[str], location: Location) -> None:
    """Refuse a split that there is not, and none where there are several."""
    there = ", ".join(splits) or "none"
    if not split:
        raise DataUrlError(
            "this dataset has several splits",
            got=location.shown,
            fix=f"name one: ?split={splits[0] if splits else 'NAME'}; there are {there}",
        )
    if split not in splits:
        raise InputNotFoundError(
            f"there is no split `{split}`",
            got=location.shown,
            fix=suggest(split, tuple(splits)) or f"splits: {there}",
        )


def _files_of(folder: Path, split: str, location: Location) -> list[str]:
    """Return the names of the files of rows in their order."""
    state = folder / STATE
    if state.exists():
        saved = _decoded(state, _State)
        if split:
            raise _no_splits(location)
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
        names = _named_after(split, folder, location)
    if not names or any(Path(name).name != name for name in names):
        is_parquet = next(folder.glob("**/*.parquet"), None) is not None
        raise DataUrlError(
            "this is no folder of a dataset",
            got=location.shown,
            fix=f"its files are Parquet: parquet://{folder}/**/*.parquet"
            if is_parquet
            else "name one that save_to_disk wrote, or one of .arrow files",
        )
    return names


def _named_after(split: str, folder: Path, location: Location) -> list[str]:
    """Return the Arrow files of a folder, of one split where its cache says that it has some."""
    names = sorted(path.name for path in folder.glob("*.arrow"))
    splits: list[str] = []
    if (folder / INFO).exists():
        names = [name for name in names if not name.startswith(CACHED)]
        splits = list(_decoded(folder / INFO, _Info).splits or {})
    of = {one: [name for name in names if _is_of(one, name)] for one in splits}
    of = {one: found for one, found in of.items() if found}
    if not of:
        if split:
            raise _no_splits(location)
        return names
    if split or len(of) > 1:
        _check_split(split, list(of), location)
    return of[split or next(iter(of))]


def _is_of(split: str, name: str) -> bool:
    return any(fnmatchcase(name, f"*-{escape(split)}{end}.arrow") for end in ("", SHARD))


def _no_splits(location: Location) -> DataUrlError:
    return DataUrlError("this dataset has no splits", got=location.shown, fix="leave ?split= out")


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
