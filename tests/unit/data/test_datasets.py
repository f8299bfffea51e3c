from __future__ import annotations

import datetime as dt
import importlib
import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from openautoglm.data import open_source
from openautoglm.errors import DataUrlError, InputDecodeError, InputNotFoundError

if TYPE_CHECKING:
    from pathlib import Path

pa: Any = importlib.import_module("pyarrow")
ipc: Any = importlib.import_module("pyarrow.ipc")


def save(folder: Path, *tables: Any, batch_rows: int = 3, state: object = None) -> str:  # noqa: ANN401 - pyarrow's
    """Write tables as `save_to_disk` does, one file each."""
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"data-{n:05d}-of-{len(tables):05d}.arrow" for n in range(len(tables))]
    for name, table in zip(names, tables, strict=True):
        with ipc.new_stream(folder / name, table.schema) as writer:
            for batch in table.to_batches(max_chunksize=batch_rows):
                writer.write_batch(batch)
    saved = {"_data_files": [{"filename": name} for name in names], "_split": "train"}
    (folder / "state.json").write_text(json.dumps(saved if state is None else state))
    return f"hf://{folder}"


def test_values_of_features_come_as_json_holds_them(tmp_path: Path) -> None:
    image = {"bytes": b"oag", "path": None}
    row = {
        "label": 3,
        "image": image,
        "tokens": ["a", None],
        "score": float("nan"),
        "price": Decimal("12.50"),
        "at": dt.datetime(2026, 11, 23, 10, tzinfo=dt.UTC),
        "word": "请",
    }
    url = save(tmp_path / "d", pa.Table.from_pylist([row]))
    source = open_source(url)
    (record,) = source.read()
    assert record.key == "data-00000-of-00001.arrow:1"
    assert record.values == {
        **row,
        "image": {"bytes": "b2Fn", "path": None},
        "score": None,
        "price": "12.50",
        "at": "2026-11-23T10:00:00+00:00",
    }
    described = source.describe()
    assert described.rows == 1
    assert not described.is_sampled
    assert {c.name: c.kind for c in described.columns}["image"] == "object"


@pytest.mark.parametrize("is_coded", [False, True], ids=["plain", "with a dictionary"])
def test_shards_begin_inside_batches_and_go_over_them(tmp_path: Path, *, is_coded: bool) -> None:
    texts = pa.array([f"t{n}" for n in range(10)])
    column = texts.dictionary_encode() if is_coded else texts
    table = pa.table({"n": range(10), "t": column})
    source = open_source(save(tmp_path / "d", table, table.slice(0, 1)))
    shards = list(source.shards(rows=4))
    assert [shard.rows for shard in shards] == [4, 4, 3]
    for shard in reversed(shards):
        records = list(source.read(shard))
        assert len(records) == shard.rows
        rest = source.read(shard, resume_from=records[1].position)
        assert [r.key for r in rest] == [r.key for r in records[2:]]
    found = [record.values["t"] for shard in shards for record in source.read(shard)]
    assert found == [f"t{n}" for n in range(10)] + ["t0"]


def test_a_folder_of_arrow_files_needs_no_state(tmp_path: Path) -> None:
    save(tmp_path / "d", pa.table({"n": [1, 2]}))
    (tmp_path / "d" / "state.json").unlink()
    assert len(list(open_source(f"hf://{tmp_path}/d").read())) == 2


@pytest.mark.parametrize("name", ["tmp-1.arrow", "tmpfs.arrow", "cache-hits.arrow"])
def test_any_arrow_file_of_a_folder_that_datasets_did_not_write_is_read(
    tmp_path: Path, name: str
) -> None:
    save(tmp_path / "d", pa.table({"n": [1, 2]}))
    (tmp_path / "d" / "state.json").unlink()
    file = tmp_path / "d" / "data-00000-of-00001.arrow"
    file.with_name(name).write_bytes(file.read_bytes())
    assert len(list(open_source(f"hf://{tmp_path}/d").read())) == 4


def test_files_that_the_state_does_not_name_are_not_read(tmp_path: Path) -> None:
    url = save(tmp_path / "d", pa.table({"n": [1, 2]}))
    (tmp_path / "d" / "cache-1.arrow").write_bytes(b"something")
    assert len(list(open_source(url).read())) == 2


@pytest.mark.parametrize(
    ("state", "error", "says"),
    [
        ({"_data_files": [{"filename": "../x.arrow"}]}, DataUrlError, "no folder of a dataset"),
        ({"_data_files": []}, DataUrlError, "has no rows"),
        ({"_data_files": [], "_indices_data_files": [{}]}, DataUrlError, "flatten_indices"),
        ({"_data_files": "x"}, InputDecodeError, "not what save_to_disk writes"),
        ({}, InputDecodeError, "not what save_to_disk writes"),
    ],
)
def test_a_folder_that_is_no_dataset_is_refused(
    tmp_path: Path, state: object, error: type[Exception], says: str
) -> None:
    url = save(tmp_path / "d", pa.table({"n": [1]}), state=state)
    with pytest.raises(error, match=says):
        open_source(url)


def test_of_several_splits_one_is_named(tmp_path: Path) -> None:
    save(tmp_path / "d" / "train", pa.table({"n": [1]}))
    (tmp_path / "d" / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    assert len(list(open_source(f"hf://{tmp_path}/d?split=train").read())) == 1
    with pytest.raises(DataUrlError, match="there are train, test"):
        open_source(f"hf://{tmp_path}/d")
    with pytest.raises(InputNotFoundError, match="did you mean `train`"):
        open_source(f"hf://{tmp_path}/d?split=trian")
    with pytest.raises(DataUrlError, match="no splits"):
        open_source(f"hf://{tmp_path}/d/train?split=train")
    with pytest.raises(InputNotFoundError, match="save_to_disk"):
        open_source("hf://squad")


FEATURES = {
    "label": {"names": ["good", "bad"], "_type": "ClassLabel"},
    "image": {"_type": "Image"},
    "sound": {"sampling_rate": 16000, "_type": "Audio"},
    "tokens": {"feature": {"dtype": "string", "_type": "Value"}, "_type": "Sequence"},
    "answers": {"text": [{"dtype": "string", "_type": "Value"}]},
    "matrix": {"shape": [2, 2], "dtype": "float32", "_type": "Array2D"},
}


class Matrix(pa.ExtensionType):  # type: ignore[misc] # pyarrow has no types
    """As `datasets` has them; unknown to whoever reads."""

    def __init__(self) -> None:
        super().__init__(pa.list_(pa.list_(pa.float32())), "datasets.Array2D")

    def __arrow_ext_serialize__(self) -> bytes:
        return b"(2, 2)"


def noted(**columns: Any) -> Any:  # noqa: ANN401 - pyarrow's
    """Return a table with the note that `datasets` leaves in its schema."""
    note = {"info": {"features": {name: FEATURES[name] for name in columns}}}
    return pa.table(columns).replace_schema_metadata({"huggingface": json.dumps(note)})


def test_features_of_datasets_are_read(tmp_path: Path) -> None:
    matrix = pa.array([[[1.0, 2.0], [3.0, 4.0]]], pa.list_(pa.list_(pa.float32())))
    table = noted(
        label=[1],
        image=[{"bytes": b"oag", "path": "cat.png"}],
        sound=pa.array([None], pa.struct({"bytes": pa.binary(), "path": pa.string()})),
        tokens=[["a", "b"]],
        answers=[{"text": ["x", "y"]}],
        matrix=pa.ExtensionArray.from_storage(Matrix(), matrix),
    )
    source = open_source(save(tmp_path / "d", table))
    (record,) = source.read()
    assert record.values == {
        "label": 1,
        "image": {"bytes": "b2Fn", "path": "cat.png"},
        "sound": None,
        "tokens": ["a", "b"],
        "answers": {"text": ["x", "y"]},
        "matrix": [[1.0, 2.0], [3.0, 4.0]],
    }
    kinds = {column.name: column.kind for column in source.describe().columns}
    assert kinds == {
        "label": "integer",
        **dict.fromkeys(("image", "sound", "answers"), "object"),
        "tokens": "list",
        "matrix": "list",
    }


@pytest.mark.parametrize("name", ["image", "sound"])
def test_an_image_or_a_sound_that_is_only_a_path_is_a_bad_row(tmp_path: Path, name: str) -> None:
    rows = [{"bytes": None, "path": "/home/ann/cat.png"}, {"bytes": b"x", "path": None}]
    bad, good = open_source(save(tmp_path / "d", noted(**{name: rows}))).read()
    assert f"00001.arrow:1: the row cannot be read: `{name}` is not in" in str(bad.error)
    assert "/home/ann/cat.png" in str(bad.error)
    assert good.values[name] == {"bytes": "eA==", "path": None}


TYPES = {
    "string_view": ("text", ["a"], ["a"]),
    "binary": ("text", [b"oag"], ["b2Fn"]),
    "float16": ("number", [1.5], [1.5]),
    "null": ("any", [None], [None]),
    "uint64": ("integer", [2**64 - 1], [2**64 - 1]),
    "date32": ("text", [dt.date(2026, 11, 23)], ["2026-11-23"]),
    "month_day_nano_interval": ("any", [(1, 2, 3)], [[1, 2, 3]]),
}


@pytest.mark.parametrize("name", TYPES)
def test_types_of_columns_are_told_and_read(tmp_path: Path, name: str) -> None:
    kind, given, expected = TYPES[name]
    column = pa.array(given, getattr(pa, name)())
    source = open_source(save(tmp_path / "d", pa.table({"c": column})))
    assert source.describe().columns[0].kind == kind
    assert [record.values["c"] for record in source.read()] == expected


def test_a_map_with_a_key_twice_is_a_bad_row(tmp_path: Path) -> None:
    maps = pa.array([[("a", 1)], [("a", 1), ("a", 2)]], pa.map_(pa.string(), pa.int64()))
    good, bad = open_source(save(tmp_path / "d", pa.table({"m": maps}))).read()
    assert good.values == {"m": {"a": 1}}
    assert "00001.arrow:2" in str(bad.error)


def test_a_folder_of_the_cache_has_splits_and_files_that_are_no_rows(tmp_path: Path) -> None:
    for name in ("train-00000-of-00002", "train-00001-of-00002", "test"):
        save(tmp_path / "d", pa.table({"of": [name]}))
        (tmp_path / "d" / "state.json").unlink()
        file = tmp_path / "d" / "data-00000-of-00001.arrow"
        file.rename(file.with_name(f"reviews-{name}.arrow"))
    (tmp_path / "d" / "cache-1f.arrow").write_bytes(b"what map() left")
    info = {"splits": {name: {"num_examples": 1} for name in ("train", "test", "dev")}}
    (tmp_path / "d" / "dataset_info.json").write_text(json.dumps(info))
    url = f"hf://{tmp_path}/d"
    found = [record.values["of"] for record in open_source(f"{url}?split=train").read()]
    assert found == ["train-00000-of-00002", "train-00001-of-00002"]
    assert len(list(open_source(f"{url}?split=test").read())) == 1
    with pytest.raises(DataUrlError, match="there are train, test"):
        open_source(url)
    with pytest.raises(InputNotFoundError, match="splits: train, test"):
        open_source(f"{url}?split=dev")


def test_a_split_that_was_not_copied_and_files_of_parquet_are_told(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "dataset_dict.json").write_text('{"splits": ["train", "../x"]}')
    for split in ("train", "../x"):
        with pytest.raises(InputNotFoundError, match="was not copied"):
            open_source(f"hf://{tmp_path}/d?split={split}")
    (tmp_path / "hub" / "data").mkdir(parents=True)
    (tmp_path / "hub" / "data" / "train.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataUrlError, match=r"parquet://.*/hub/\*\*/\*\.parquet"):
        open_source(f"hf://{tmp_path}/hub")


@pytest.mark.parametrize("cut", [0, 3, 100, -20])
def test_a_file_that_was_cut_off_is_told(tmp_path: Path, cut: int) -> None:
    url = save(tmp_path / "d", pa.table({"n": range(10)}))
    file = tmp_path / "d" / "data-00000-of-00001.arrow"
    content = file.read_bytes()
    file.write_bytes(content[:cut])
    with pytest.raises(InputDecodeError, match="no whole file"):
        list(open_source(url).read())
