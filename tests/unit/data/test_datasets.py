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


@pytest.mark.parametrize("cut", [0, 3, 100, -20])
def test_a_file_that_was_cut_off_is_told(tmp_path: Path, cut: int) -> None:
    url = save(tmp_path / "d", pa.table({"n": range(10)}))
    file = tmp_path / "d" / "data-00000-of-00001.arrow"
    content = file.read_bytes()
    file.write_bytes(content[:cut])
    with pytest.raises(InputDecodeError, match="no whole file"):
        list(open_source(url).read())
