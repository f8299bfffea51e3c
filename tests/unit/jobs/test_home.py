"""Where jobs are remembered."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from openautoglm.errors import LedgerError
from openautoglm.jobs.home import ledger_url, log_file

if TYPE_CHECKING:
    from pathlib import Path


def test_the_ledger_is_the_given_one_or_that_of_the_settings_or_the_one_at_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "a home"
    monkeypatch.setenv("OPENAUTOGLM_HOME", str(home))
    monkeypatch.delenv("OPENAUTOGLM_LEDGER", raising=False)
    assert ledger_url() == f"sqlite:///{home}/ledger.db"
    assert home.is_dir()
    monkeypatch.setenv("OPENAUTOGLM_LEDGER", "postgresql://db/jobs")
    assert ledger_url() == "postgresql://db/jobs"
    assert ledger_url("sqlite:////x.db") == "sqlite:////x.db"


def test_a_path_is_a_ledger_in_that_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert ledger_url("jobs.db") == f"sqlite:///{tmp_path}/jobs.db"


def test_a_home_that_cannot_be_made_is_named_with_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("OPENAUTOGLM_HOME", str(tmp_path / "file" / "home"))
    monkeypatch.delenv("OPENAUTOGLM_LEDGER", raising=False)
    with pytest.raises(LedgerError, match="OPENAUTOGLM_HOME"):
        ledger_url()
    assert log_file("job") is None
