"""The suite of sources over saved datasets, batch files and folders."""

from __future__ import annotations

import importlib
import json
from typing import TYPE_CHECKING, Any

import pytest

from openautoglm.data import SOURCES
from openautoglm.data.remote import remote_source
from openautoglm.testing import LocalRemote, prove

if TYPE_CHECKING:
    from pathlib import Path

pa: Any = importlib.import_module("pyarrow")
ipc: Any = importlib.import_module("pyarrow.ipc")

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 8


class Named:
    point = "source"
    contract = 1
    name = "any"


def batches(bad: bytes = b"") -> list[Any]:
    """Return batches of 5, 0 and 4 rows, one of them with a text that is no UTF-8."""
    texts = [f"请 {n}".encode() for n in range(9)]
    texts[6] = bad or texts[6]
    column = pa.array(texts, pa.binary()).cast(pa.string(), safe=False)
    table = pa.record_batch({"id": pa.array(range(9), pa.int64()), "text": column})
    return [table.slice(0, 5), table.slice(5, 0), table.slice(5)]


def save(folder: Path, *, bad: bytes = b"", is_random: bool = False) -> None:
    """Write what `save_to_disk` writes: two files and a state."""
    folder.mkdir(parents=True)
    parts = batches(bad)
    names = [f"data-{n:05d}-of-00002.arrow" for n in range(2)]
    for name in names:
        make = ipc.new_file if is_random else ipc.new_stream
        with make(folder / name, parts[0].schema) as writer:
            for batch in parts:
                writer.write_batch(batch)
    state = {"_data_files": [{"filename": name} for name in names], "_fingerprint": "f"}
    (folder / "state.json").write_text(json.dumps(state))


def request(number: int) -> str:
    body = {"model": "m", "messages": [{"role": "user", "content": f"请 {number}"}]}
    line = {"custom_id": f"r{number}", "method": "POST", "url": "/v1/chat/completions"}
    return json.dumps({**line, "body": body}) + "\n"


@pytest.fixture
def urls(tmp_path: Path) -> dict[str, dict[str, object]]:
    save(tmp_path / "stream")
    save(tmp_path / "splits" / "train", is_random=True)
    (tmp_path / "splits" / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    save(tmp_path / "bad", bad=b"\xff")
    (tmp_path / "requests.jsonl").write_text("".join(map(request, range(9))))
    (tmp_path / "bad.jsonl").write_text(request(1) + '{"custom_id": "x"}\n' + request(2))
    for number in range(9):
        path = tmp_path / "texts" / f"{number % 3}" / f"{number} 请.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"请 {number}", encoding="utf-8")
        (tmp_path / "texts" / f"{number}.png").write_bytes(PNG + bytes([number]))
    for name, content in (("a.txt", b"a"), ("b.txt", b"\xff"), ("c.txt", b"c")):
        (tmp_path / "mixed").mkdir(exist_ok=True)
        (tmp_path / "mixed" / name).write_bytes(content)
    hf: dict[str, object] = {
        "bad_url": f"hf://{tmp_path}/bad",
        "missing_url": f"hf://{tmp_path}/nothing",
    }
    folder: dict[str, object] = {
        "bad_url": f"folder://{tmp_path}/mixed",
        "missing_url": f"folder://{tmp_path}/texts?pattern=*.md",
    }
    return {
        "hf stream": {**hf, "url": f"hf://{tmp_path}/stream"},
        "hf file": {**hf, "url": f"hf://{tmp_path}/splits?split=train"},
        "openai-batch": {
            "url": f"openai-batch://{tmp_path}/requests.jsonl",
            "bad_url": f"openai-batch://{tmp_path}/bad.jsonl",
            "missing_url": f"openai-batch://{tmp_path}/no.jsonl",
        },
        "folder": {**folder, "url": f"folder://{tmp_path}/texts"},
        "folder of images": {**folder, "url": f"folder://{tmp_path}/texts?kind=image"},
    }


@pytest.mark.parametrize(
    "case", ["hf stream", "hf file", "openai-batch", "folder", "folder of images"]
)
@pytest.mark.parametrize("is_remote", [False, True], ids=["here", "in a worker"])
def test_a_source_of_files_keeps_the_contract(
    case: str, urls: dict[str, dict[str, object]], *, is_remote: bool
) -> None:
    opener: Any = SOURCES.get(case.partition(" ")[0])
    if is_remote:
        opener = remote_source(LocalRemote("source", opener), Named())
    findings = prove("source", opener, name=case, **urls[case])
    assert {finding.status for finding in findings} == {"pass"}
