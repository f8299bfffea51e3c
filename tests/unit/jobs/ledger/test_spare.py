"""Room on the disk that is kept back beside a ledger."""

from __future__ import annotations

import resource
from contextlib import closing
from typing import TYPE_CHECKING

from openautoglm.jobs.ledger import open_ledger
from openautoglm.jobs.ledger.spare import BYTES, Spare

if TYPE_CHECKING:
    from pathlib import Path


def test_room_is_kept_once_and_given_once(tmp_path: Path) -> None:
    spare, file = Spare(tmp_path / "a.db"), tmp_path / "a.db-spare"
    assert not spare.give()
    for _ in range(2):
        spare.keep()
        assert file.stat().st_size >= BYTES
    assert spare.give()
    assert not file.exists()
    assert not spare.give()


def test_where_there_is_no_room_none_is_kept(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (BYTES // 2, hard))
    try:
        Spare(tmp_path / "a.db").keep()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    Spare(tmp_path / "no folder" / "a.db").keep()
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_takes_nothing_leaves_no_empty_room_behind(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        Spare(tmp_path / "a.db").keep()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


def test_room_that_is_too_small_is_made_anew(tmp_path: Path) -> None:
    file = tmp_path / "a.db-spare"
    file.touch()
    Spare(tmp_path / "a.db").keep()
    assert file.stat().st_size == BYTES


def test_a_ledger_that_is_opened_keeps_room_back(tmp_path: Path) -> None:
    for _ in range(2):
        open_ledger(f"sqlite:///{tmp_path}/a.db").close()
    with closing(open_ledger(f"sqlite:///{tmp_path}/a.db")):
        assert (tmp_path / "a.db-spare").stat().st_size == BYTES
