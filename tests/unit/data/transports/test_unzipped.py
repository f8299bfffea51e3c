from __future__ import annotations

import gzip
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from openautoglm.data import open_source
from openautoglm.data.transports import spool
from openautoglm.data.transports.spool import Spool
from openautoglm.errors import InputDecodeError, OutputWriteError, SourceChangedError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from openautoglm.data.transports.spool import Writes

LINES = b"".join(b'{"n":%d}\n' % n for n in range(50))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OPENAUTOGLM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "unzipped"


def entries(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if not path.name.startswith(spool.TURN)]


def test_a_packed_file_is_unpacked_once_and_read_from_any_place(
    tmp_path: Path, cache: Path
) -> None:
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(LINES))
    source = open_source(path)
    records = list(source.read())
    assert [r.values["n"] for r in records] == list(range(50))
    assert records[0].key == "a.jsonl.gz:1"
    (entry,) = entries(cache)
    before = entry.stat().st_ino
    rest = open_source(path).read(resume_from=records[30].position)
    assert [r.values["n"] for r in rest] == list(range(31, 50))
    assert [entry.stat().st_ino for entry in entries(cache)] == [before]
    assert source.describe().size_bytes == path.stat().st_size


def test_a_folder_of_packed_and_plain_files_is_one_source(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "b.csv.gz").write_bytes(gzip.compress(b"n\n2\n"))
    (tmp_path / "in" / "a.csv").write_bytes(b"n\n1\n")
    source = open_source(f"csv+file://{tmp_path}/in/")
    assert [r.values["n"] for r in source.read()] == ["1", "2"]


def test_a_packed_file_that_changed_is_unpacked_again(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(LINES))
    source = open_source(path)
    path.write_bytes(gzip.compress(b'{"n":"new"}\n'))
    with pytest.raises(SourceChangedError):
        list(source.read())
    assert [r.values["n"] for r in open_source(path).read()] == ["new"]


@pytest.mark.parametrize(
    ("cut", "says"), [(slice(0, -20), "ends in the middle"), (slice(5, None), "is no gzip")]
)
def test_a_packed_file_that_is_not_whole_is_named_and_leaves_nothing(
    tmp_path: Path, cache: Path, cut: slice, says: str
) -> None:
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(os.urandom(100) + LINES)[cut])
    with pytest.raises(InputDecodeError, match=rf"`a\.jsonl\.gz` {says}"):
        list(open_source(path).read())
    assert entries(cache) == []


def test_a_cache_that_cannot_be_written_is_named_with_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("OPENAUTOGLM_CACHE", str(tmp_path / "file"))
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(LINES))
    with pytest.raises(OutputWriteError, match="OPENAUTOGLM_CACHE"):
        list(open_source(path).read())


def fill(content: bytes) -> Callable[[Writes], None]:
    def write(out: Writes) -> None:
        out.write(content)

    return write


FILLER = """
import os, sys
from pathlib import Path
from openautoglm.data.transports.spool import Spool

def write(out):
    out.write(b"x" * 100_000)
    (Path(sys.argv[1]) / str(os.getpid())).touch()

with Spool("shared").open("key", write) as file:
    assert len(file.read()) == 100_000
"""


def test_several_processes_fill_an_entry_once(tmp_path: Path) -> None:
    made = tmp_path / "made"
    made.mkdir()
    processes = [subprocess.Popen([sys.executable, "-c", FILLER, str(made)]) for _ in range(3)]
    assert [process.wait() for process in processes] == [0, 0, 0]
    assert len(list(made.iterdir())) == 1


def test_entries_that_nobody_used_for_longest_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = Spool("small", kept_bytes=250)
    folder = tmp_path / "cache" / "small"
    for age, key in enumerate("abc"):
        write = fill(b"x" * 100)
        with kept.open(key, write) as file:
            file.read()
        for path in entries(folder):
            status = path.stat()
            os.utime(path, (status.st_atime, status.st_mtime - 10 * (age + 1)))
    assert len(entries(folder)) == 2

    def never(_: object) -> None:
        raise AssertionError("it was there")

    kept.open("c", never).close()
    monkeypatch.setattr(spool, "KEPT_S", -1)
    write = fill(b"y")
    kept.open("d", write).close()
    assert len(entries(folder)) == 1


def test_what_a_process_that_died_left_half_done_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "cache" / "small"
    folder.mkdir(parents=True)
    (folder / f"{spool.PART}x").write_text("half")
    write = fill(b"x")
    Spool("small", kept_bytes=1).open("a", write).close()
    assert len(entries(folder)) == 2
    monkeypatch.setattr(spool, "GROWS_S", -1)
    Spool("small", kept_bytes=1).open("b", write).close()
    assert len(entries(folder)) == 1
