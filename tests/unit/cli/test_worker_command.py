"""`oag worker` on one machine; its nodes are tested in tests/unit/jobs/cluster."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from openautoglm.cli.ending import run_to_end
from openautoglm.cli.worker_output import told
from openautoglm.jobs.cluster.finding import Finding, NodeFacts, Report

FILE = """\
apiVersion: openautoglm/v1
kind: Job
metadata: {name: nearly}
spec: {source: rows.jsonl, sink: out.jsonl, template: "{text}", model: ./no/such/model}
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAUTOGLM_HOME", str(tmp_path / "home"))
    for name in ("OPENAUTOGLM_LEDGER", "OPENAUTOGLM_ENGINE", "RAY_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    Path("rows.jsonl").write_text('{"text": "a"}\n')
    Path("job.yaml").write_text(FILE)


def test_resources_are_json_for_ray(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_to_end(["worker", "resources", "--resource", "oag-scale=2"]) == 0
    assert json.loads(capsys.readouterr().out)["oag-scale"] == 2


def test_the_command_of_a_node_can_be_seen_without_ray(capsys: pytest.CaptureFixture[str]) -> None:
    given = ["--resource", "oag-scale=2", "--print", "--", "--num-cpus", "4"]
    assert run_to_end(["worker", "join", "head:7000", *given]) == 0
    said = capsys.readouterr().out
    assert said.startswith("ray start --address=head:7000 '--resources={")
    assert said.endswith("--block --num-cpus 4\n")


def test_a_node_without_a_head_ends_with_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_to_end(["worker", "join", f"127.0.0.1:{free_port()}"]) == 3
    assert "fix: start one: ray start --head" in capsys.readouterr().err


def test_a_doctor_of_this_machine_alone_needs_no_cluster(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run_to_end(["worker", "doctor", "job.yaml", "--engine", "local"]) == 3
    said = capsys.readouterr().out
    assert "lacks        this machine: model: " in said
    assert said.count("lacks") == 1

    job = Path("job.yaml").read_text().replace("model: ./no/such/model", "backend: nano")
    Path("job.yaml").write_text(job)
    assert run_to_end(["worker", "doctor", "job.yaml", "--engine", "local"]) == 0
    assert capsys.readouterr().out.endswith("lacks        nothing\n")


def test_a_doctor_without_a_cluster_says_how_to_start_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    engine = f"127.0.0.1:{free_port()}"
    ledger = "postgresql://127.0.0.1:1/none"
    given = ["--engine", engine, "--ledger", ledger, "--json"]
    assert run_to_end(["worker", "doctor", *given]) == 3
    found = {each["what"]: each for each in json.loads(capsys.readouterr().out)["findings"]}
    assert set(found) == {"ray", "ledger"}
    assert found["ray"]["problem"] == f"there is no Ray cluster at {engine}"
    assert "ray start --head" in found["ray"]["fix"]


def test_an_engine_that_is_none_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_to_end(["worker", "doctor", "--engine", "rya"]) == 2
    assert "did you mean `ray`?" in capsys.readouterr().err


def test_what_several_nodes_lack_is_told_once() -> None:
    def lacking(node: str, *, is_note: bool = False) -> Finding:
        return Finding(
            node=node, what="ray", problem="old", got="\n  1\n  2", fix="3", is_note=is_note
        )

    whole = NodeFacts(node="a", python="3.11.7", resources={"CPU": 2.0, "oag-camera": 1.0})
    report = Report(
        nodes=(whole, NodeFacts(node="b")),
        findings=(lacking("a"), lacking("b"), lacking("c", is_note=True)),
    )
    lines = list(told(report))
    assert ("lacks", "a, b: ray: old") in lines
    assert ("note", "c: ray: old") in lines
    assert [text for label, text in lines if not label][:3] == ["  got  1", "       2", "  fix  3"]
    assert ("node", "b: no answer") in lines
    assert lines[0][1].endswith("; CPU 2, oag-camera 1")
    assert ("lacks", "nothing") not in lines


def free_port() -> int:
    """A port where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port
