"""The short form of `python tests/soak/sql_sink.py`: a table is filled exactly once."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

SOAKS = Path(__file__).parents[2] / "soak"
LOOK = """
import json, sys
from sql_sink import looked
print(json.dumps(looked(sys.argv[1], 4, [0, 1]), default=vars))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="processes are found in /proc")
def test_two_kills_between_tables_of_postgresql_lose_and_double_nothing() -> None:
    command = [sys.executable, "sql_sink.py", "--faults", "2"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=SOAKS)
    assert done.returncode == 0, done.stdout + done.stderr
    outcome = json.loads(done.stdout)
    assert outcome["report"]["answered"] == 4000
    assert sum(outcome["report"]["faults"].values()) == 2
    assert list(outcome["findings"].values()) == [[]] * 5


def test_what_is_wrong_with_a_table_is_seen(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "rows.db")) as file:
        file.execute("create table answers(id, output)")
        answers = [(0, "ROW 0"), (1, "ROW 1"), (1, "ROW 1"), (2, "row 2")]
        file.executemany("insert into answers values (?, ?)", answers)
        file.execute("create table _oag_commit(shard)")
        file.executemany("insert into _oag_commit values (?)", [(0,), (0,), (7,)])
        file.commit()
    command = [sys.executable, "-c", LOOK, f"sqlite:///{tmp_path}/rows.db"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=SOAKS)
    assert json.loads(done.stdout) == {
        "lost": [3],
        "twice": [1],
        "strange": [2],
        "twice_committed": [0],
        "uncommitted": [1, 7],
    }
