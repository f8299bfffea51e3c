"""What a node finds out is asked of a process of this machine, as it is on every node."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from openautoglm.jobs.cluster.comparing import compare, facts_of
from openautoglm.jobs.cluster.nodes import Answer, ask_here
from openautoglm.jobs.cluster.question import Question

if TYPE_CHECKING:
    import pytest
    from tests.unit.jobs.conftest import Desk

    from openautoglm.jobs.cluster.finding import Finding
    from openautoglm.jobs.spec import JobSpec

NODE = "10.0.0.7"
HANGS = "import threading\nprint('hello', flush=True)\nthreading.Event().wait()\n"
DIES = "import os\nos.abort()\n"


def findings(answer: Answer, spec: JobSpec | None = None) -> list[Finding]:
    return list(compare(NODE, answer, answer, spec=spec))


def module(desk: Desk, text: str, monkeypatch: pytest.MonkeyPatch) -> JobSpec:
    """A job whose function is in a module of that text."""
    (desk.folder / "of_a_user.py").write_text(text)
    monkeypatch.setattr(sys, "path", [str(desk.folder), *sys.path])
    return desk.job(function="of_a_user:work")


def test_all_that_a_job_needs_is_looked_at(desk: Desk, postgres_url: str) -> None:
    desk.number(3)
    spec = desk.job()
    mark = desk.folder / "mark"
    mark.touch()

    answer = ask_here(Question(spec=spec, ledger=postgres_url, mark=os.fspath(mark)), 60)

    assert findings(answer, spec) == []
    assert facts_of(answer, "source")["parts"] == 1
    assert facts_of(answer, "sink") == {"is_shared": True}
    assert "job_functions:double" in str(facts_of(answer, "work")["function"])
    assert facts_of(answer, "model") == {}, "a function has none"
    assert abs(float(str(facts_of(answer, "ledger")["ahead_s"]))) < 5
    assert not list(desk.folder.glob("*.parts"))


def test_what_is_in_the_way_is_told_with_its_fix(desk: Desk) -> None:
    model = desk.folder / "models" / "none"
    spec = desk.job(template="{text}", model=os.fspath(model), sink="nowhere://")

    answer = ask_here(Question(spec=spec, ledger="postgresql://127.0.0.1:1/none"), 60)

    found = {each.what: each for each in findings(answer, spec)}
    assert set(found) == {"ledger", "source", "sink", "model"}
    assert found["model"].problem == "the model is not on this node"
    assert found["model"].got == os.fspath(model)
    assert all(each.fix for each in found.values())


def test_packages_that_a_backend_lacks_are_named(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    hiding = desk.folder / "hiding"
    hiding.mkdir()
    (hiding / "sitecustomize.py").write_text(
        "from importlib import metadata\n"
        "found = metadata.version\n"
        "def version(name):\n"
        "    if name == 'openai':\n"
        "        raise metadata.PackageNotFoundError(name)\n"
        "    return found(name)\n"
        "metadata.version = version\n"
    )
    monkeypatch.setenv("PYTHONPATH", os.fspath(hiding))
    desk.number(3)
    spec = desk.job(template="{text}", model="http://127.0.0.1:1/v1")

    found = findings(ask_here(Question(spec=spec), 60), spec)

    assert [(each.what, each.got) for each in found] == [("model", "openai")]
    assert found[0].fix == 'pip install "openautoglm[openai]"'


def test_a_function_that_is_not_there_names_where_it_was_looked_for(desk: Desk) -> None:
    desk.number(3)
    (found,) = findings(ask_here(Question(spec=desk.job(function="no_such:function")), 60))
    assert found.what == "work"
    assert "No module named 'no_such'" in found.problem


def test_what_hangs_is_named_and_ended(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.number(3)
    spec = module(desk, HANGS, monkeypatch)

    (found,) = findings(ask_here(Question(spec=spec), 10), spec)

    assert (found.node, found.what, found.problem) == (NODE, "work", "no answer within 10 s")
    assert "--timeout-s" in found.fix


def test_what_dies_of_a_module_is_named(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.number(3)
    spec = module(desk, DIES, monkeypatch)

    (found,) = findings(ask_here(Question(spec=spec), 60), spec)

    assert (found.what, found.problem) == ("work", "the process died of it")
    assert found.got.startswith("exit code -6")


def test_a_copy_of_a_source_is_the_same_and_a_longer_one_is_not(desk: Desk) -> None:
    desk.number(3)
    copy = desk.folder / "copy" / "in.jsonl"
    copy.parent.mkdir()
    copy.write_bytes(desk.source.read_bytes())
    os.utime(copy, ns=(0, 0))
    here, there = (
        ask_here(Question(spec=desk.job(source=os.fspath(each))), 60)
        for each in (desk.source, copy)
    )
    assert list(compare(NODE, there, here, spec=None)) == []

    with copy.open("a") as rows:
        rows.write('{"n": 9}\n')
    there = ask_here(Question(spec=desk.job(source=os.fspath(copy))), 60)
    (found,) = compare(NODE, there, here, spec=None)
    assert found.what == "source"
    assert "the driver sees 1 parts" in found.got
