"""The real command in its own process: pipes, signals, full disks, closed files, the model."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import IO

import pytest

from openautoglm import __version__

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
OAG = [str(Path(sys.executable).parent / "oag")]
posix_only = pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals and files")

PROGRAM = """
import threading
from collections.abc import Mapping
from typing import ClassVar

from openautoglm.cli import main
from openautoglm.pipeline.catalog import STEPS
from openautoglm.pipeline.step import Step
from openautoglm.registry import owned_by
from openautoglm.testing import echo_backend


class Hang(Step):
    outputs: ClassVar[Mapping[str, str]] = {"text": "the text, but for `hang`, which never ends"}

    def run(self, *, text: str) -> Mapping[str, object]:
        if "hang" in text:
            threading.Event().wait()
        return {"text": text}


with owned_by("test"):
    STEPS.add("test.hang", Hang)
with echo_backend():
    main()
"""
ECHO = [sys.executable, "-c", PROGRAM]
HANG_YAML = """
name: hang
inputs:
  text: {to: hang.text}
components:
  hang: {type: test.hang}
outputs: {text: hang.text}
"""


@pytest.fixture
def hang(tmp_path: Path) -> str:
    path = tmp_path / "hang.yaml"
    path.write_text(HANG_YAML)
    return str(path)


def finish(
    command: list[str], *, stdin: bytes = b"", stdout: int | IO[bytes] = subprocess.PIPE
) -> tuple[int, str, str]:
    done = subprocess.run(
        command, input=stdin, stdout=stdout, stderr=subprocess.PIPE, timeout=240, check=False
    )
    return done.returncode, (done.stdout or b"").decode(), done.stderr.decode()


@pytest.mark.parametrize("command", [OAG, [str(Path(OAG[0]).with_name("openautoglm"))],
                                     [sys.executable, "-m", "openautoglm"]])  # fmt: skip
def test_the_command_has_three_names(command: list[str]) -> None:
    assert finish([*command, "--version"]) == (0, f"openautoglm {__version__}\n", "")


def test_doctor_says_what_is_here_as_json() -> None:
    code, out, err = finish([*OAG, "doctor", "--json"])
    report = json.loads(out)
    assert (code, err) == (0, "")
    assert report["backends"]["transformers"] == {"available": True, "lacks": None}
    assert report["memory"]["total"] > 0


def test_standard_input_is_a_record(hang: str) -> None:
    code, out, _ = finish([*ECHO, "run", hang, "-"], stdin="你好".encode())
    assert code == 0
    assert json.loads(out)["outputs"] == {"text": "你好"}


def test_a_glob_the_shell_did_not_expand_is_expanded(hang: str) -> None:
    code, out, _ = finish([*ECHO, "run", hang, str(EXAMPLES / "*.txt")])
    sources = [json.loads(line)["source"] for line in out.splitlines()]
    assert code == 0
    assert sources == sorted(str(path) for path in EXAMPLES.glob("*.txt"))


@posix_only
@pytest.mark.parametrize(
    ("sent", "code", "told"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")],
)
@pytest.mark.parametrize("to_file", [False, True], ids=["stdout", "file"])
def test_a_signal_keeps_the_rows_so_far_and_they_are_whole(
    hang: str, tmp_path: Path, sent: int, code: int, told: str, *, to_file: bool
) -> None:
    out = tmp_path / "out.jsonl"
    command = [*ECHO, "run", hang, "--text", "one", "--text", "two", "--text", "hang"]
    command += ["--out", str(out)] if to_file else []
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        lines = _first_rows(process.stdout, Path(f"{out}.part") if to_file else None)
        process.send_signal(sent)
        rest, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert [json.loads(line)["outputs"]["text"] for line in lines] == ["one", "two"]
    assert rest == b""
    assert told in err.decode()
    assert "Traceback" not in err.decode()
    assert not out.exists()


def _first_rows(stdout: IO[bytes], part: Path | None) -> list[bytes]:
    """Wait until two rows are out."""
    if part is None:
        return [stdout.readline(), stdout.readline()]
    while True:
        lines = part.read_bytes().splitlines() if part.exists() else []
        if len(lines) == 2:
            return lines


@posix_only
def test_rows_come_out_while_the_input_is_still_open(hang: str) -> None:
    command = [*ECHO, "run", hang, "-", "--input-format", "jsonl", "--window", "1"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for text in ("one", "two"):
            process.stdin.write(json.dumps({"text": text}).encode() + b"\n")
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["outputs"]["text"] == text
        process.stdin.close()
        assert process.wait(timeout=60) == 0


@posix_only
def test_a_reader_that_leaves_ends_the_run_quietly(hang: str, tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"text": "x"}\n' * 20_000)
    with subprocess.Popen(
        [*ECHO, "run", hang, str(rows)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert json.loads(process.stdout.readline())["source"] == f"{rows}:1"
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(timeout=60) == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["--help"], id="help"),
        pytest.param(["--version"], id="version"),
        pytest.param(["doctor"], id="doctor"),
        pytest.param(["run", "HANG", "--text", "x"], id="a row"),
        pytest.param(["run", "HANG", "--text", "x", "--output", "text"], id="a text"),
    ],
)
def test_a_full_disk_ends_with_3_and_no_traceback(hang: str, arguments: list[str]) -> None:
    with Path("/dev/full").open("wb") as full:
        code, _, err = finish(
            [*ECHO, *(hang if a == "HANG" else a for a in arguments)], stdout=full
        )
    assert code == 3
    assert err.startswith("[OAG503]")
    assert "No space left on device" in err
    assert "Traceback" not in err
    assert "Exception ignored" not in err


@posix_only
def test_a_disk_that_fills_up_keeps_whole_rows(hang: str, tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(f'{{"text": "{i:0100}"}}\n' for i in range(50)))
    shell = f'ulimit -f 4; exec "$0" "$@" --out {tmp_path / "out"}'  # blocks of 512 or 1024 bytes
    code, _, err = finish(["bash", "-c", shell, *ECHO, "run", hang, str(rows)])
    assert code == 3
    assert "[OAG503]" in err
    kept = (tmp_path / "out.part").read_text()
    assert kept.endswith("\n")
    assert 1 < len([json.loads(line) for line in kept.splitlines()]) < 50
    assert not (tmp_path / "out").exists()


@posix_only
@pytest.mark.parametrize(
    ("redirection", "code", "told"),
    [("<&-", 2, "standard input is closed"), (">&-", 3, "standard output is closed")],
)
def test_a_closed_stream_is_said(hang: str, redirection: str, code: int, told: str) -> None:
    ended, _, err = finish(["bash", "-c", f'"$0" "$@" {redirection}', *ECHO, "run", hang, "-"])
    assert ended == code
    assert told in err
    assert "Traceback" not in err


@posix_only
def test_a_closed_standard_error_hides_nothing_else(hang: str) -> None:
    command = ["bash", "-c", '"$0" "$@" 2>&-', *ECHO, "run", hang, "--text", "x"]
    code, out, _ = finish(command)
    assert code == 0
    assert json.loads(out)["outputs"] == {"text": "x"}


@posix_only
def test_a_terminal_on_stderr_shows_a_bar_and_the_results_stay_clean(
    hang: str, tmp_path: Path
) -> None:
    import pty

    ours, theirs = pty.openpty()
    (tmp_path / "bad.txt").write_bytes(b"\xff")
    command = [*ECHO, "run", hang, "--text", "x", str(tmp_path / "bad.txt")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=theirs) as process:
        os.close(theirs)
        shown = _read_terminal(ours)
        assert process.stdout is not None
        lines = process.stdout.read().splitlines()
        assert process.wait(timeout=60) == 1
    assert [json.loads(line)["source"] for line in lines] == [str(tmp_path / "bad.txt"), "--text"]
    assert "records" in shown
    assert "[OAG502]" in shown


def _read_terminal(file: int) -> str:
    data = b""
    try:
        while more := os.read(file, 4096):
            data += more
    except OSError:  # Linux: the other end was closed
        pass
    os.close(file)
    return data.decode()


def test_output_is_utf_8_whatever_the_locale_says(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("摘要:{content}", encoding="utf-8")
    env = {**os.environ, "PYTHONIOENCODING": "ascii", "OPENAUTOGLM_PROMPTS": str(tmp_path / "p")}
    for args in (["save", "s", "--file", str(tmp_path / "a.txt")], ["show", "s"]):
        done = subprocess.run([*OAG, "prompt", *args], env=env, capture_output=True, check=True)
    assert done.stdout == "摘要:{content}\n".encode()


def test_an_input_that_is_no_utf_8_is_named_with_its_offset(hang: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.txt"
    path.write_bytes(b"ok \xff")
    code, out, err = finish([*ECHO, "run", hang, str(path)])
    assert code == 1
    assert f"`{path}` is not utf-8 text: byte offset 3" in err
    assert json.loads(out)["error"]["code"] == "OAG502"


@posix_only
def test_a_name_that_is_no_text_is_printed_as_well_as_it_can_be(hang: str, tmp_path: Path) -> None:
    name = os.fsencode(tmp_path) + b"/\xff.txt"
    with open(name, "wb") as file:  # noqa: PTH123 - pathlib takes no bytes
        file.write(b"x")
    done = subprocess.run([*ECHO, "run", hang, name], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["source"].endswith("/\ufffd.txt")


@pytest.mark.slow
def test_nano_extracts_what_the_message_says() -> None:
    path = EXAMPLES / "complaint.txt"
    code, out, err = finish([*OAG, "run", "extract", str(path)])
    assert code == 0, err
    row = json.loads(out)
    text = path.read_text(encoding="utf-8")
    result = row["outputs"]["result"]
    assert set(result) == {"name", "product", "order_id", "date", "issue"}
    for pointer, (start, end) in row["offsets"].items():
        assert text[start:end] == result[pointer.removeprefix("/")]


@pytest.mark.slow
def test_nano_classifies_every_message_in_order() -> None:
    path = EXAMPLES / "messages.jsonl"
    code, out, err = finish([*OAG, "run", "classify", str(path)])
    assert code == 0, err
    rows = [json.loads(line) for line in out.splitlines()]
    assert [row["id"] for row in rows] == [1, 2, 3, 4, 5]
    labels = {"billing", "delivery", "defect", "account", "other"}
    assert all(row["outputs"]["result"]["label"] in labels for row in rows), rows


def test_models_info_describes_nano() -> None:
    code, out, err = finish([*OAG, "models", "info"])
    assert code == 0, err
    for line in ("architecture  LlamaForCausalLM", "chat template yes", "backend       nano:"):
        assert line in out
