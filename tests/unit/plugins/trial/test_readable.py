"""What is lent to a plugin can be read in the sandbox, and nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

import pytest

from openautoglm.plugins.host.sandbox import supported
from openautoglm.plugins.validation import validate_plugin

ZOO: Final = Path(__file__).parents[4] / "plugins" / "broken"


@pytest.mark.skipif(not supported().sandbox, reason="; ".join(supported().reasons) or "-")
def test_a_folder_is_read_where_it_was_lent(tmp_path: Path) -> None:
    project = tmp_path / "reads-outside"
    shutil.copytree(ZOO / "reads-outside", project)
    lent = tmp_path / "lent"
    lent.mkdir()
    (lent / "words").write_text("words", encoding="utf-8")
    source = project / "src" / "broken_reads_outside" / "__init__.py"
    text = source.read_text(encoding="utf-8")
    source.write_text(text.replace("/etc/hostname", str(lent / "words")), encoding="utf-8")

    alone = validate_plugin(project, profile="quick")
    given = validate_plugin(project, profile="quick", readable=[lent])

    assert [finding.row for finding in alone.failures] == ["trial.calls"]
    assert given.ok, str(given)
