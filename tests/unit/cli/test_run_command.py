"""Records go through a pipeline in order, and the exit code says how it went."""

from __future__ import annotations

import json
import signal
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import pytest

from openautoglm import AutoGLM
from openautoglm.cli.ending import run_to_end
from openautoglm.testing import echo_backend
from openautoglm.testing.lora_adapter import save_adapter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


ECHO = """
name: echo
inputs:
  text: {to: generate.prompt}
components:
  generate: {type: model.generate}
outputs: {answer: generate.text}
"""
EXTRACT = """
name: fields
inputs:
  text: {to: [generate.prompt, generate.source]}
components:
  generate:
    type: model.generate
    params:
      schema: {type: object, properties: {name: {type: string}}, required: [name]}
  parse: {type: output.parse}
connections:
  - {sender: generate.generation, receiver: parse.generation}
outputs: {fields: parse.value}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


Oag: TypeAlias = "Callable[..., Ended]"


@pytest.fixture
def oag(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[..., Ended]]:
    """Return a function that runs a command line; `--backend echo` is there."""
    before = signal.getsignal(signal.SIGTERM)

    def run(*args: str) -> Ended:
        capsys.readouterr()
        code = run_to_end(args)
        told = capsys.readouterr()
        return Ended(code=code, out=told.out, err=told.err)

    with echo_backend():
        yield run
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def echo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    Path("echo.yaml").write_text(ECHO)
    for name in "ab":
        Path(f"{name}.txt").write_text(f"text {name}")
    return "echo.yaml"


def rows(ended: Ended) -> list[dict[str, object]]:
    return [json.loads(line) for line in ended.out.splitlines()]


def test_every_input_gives_a_row_in_order(oag: Oag, echo: str) -> None:
    Path("c.jsonl").write_text('{"id": "x", "text": "one"}\n{"text": "two"}\n')
    ended = oag("run", echo, "b.txt", "c.jsonl", "a.txt", "--text", "last", "--backend", "echo")
    assert (ended.code, ended.err) == (0, "")
    assert [(row["source"], row["outputs"]) for row in rows(ended)] == [
        ("b.txt", {"answer": "text b"}),
        ("c.jsonl:1", {"answer": "one"}),
        ("c.jsonl:2", {"answer": "two"}),
        ("a.txt", {"answer": "text a"}),
        ("--text", {"answer": "last"}),
    ]
    assert rows(ended)[1]["id"] == "x"
    assert rows(ended)[0] == {
        "source": "b.txt",
        "outputs": {"answer": "text b"},
        "offsets": {},
        "error": None,
    }


@pytest.mark.parametrize("window", ["1", "2", "16"])
def test_records_that_cannot_be_read_keep_their_places(oag: Oag, echo: str, window: str) -> None:
    Path("bad.txt").write_bytes(b"\xff")
    names = ["bad.txt", "a.txt", "bad.txt", "bad.txt", "b.txt", "bad.txt"]
    ended = oag("run", echo, *names, "--backend", "echo", "--window", window)
    assert ended.code == 1
    assert [row["source"] for row in rows(ended)] == names
    assert [row["error"] is None for row in rows(ended)] == [n != "bad.txt" for n in names]
    assert "`bad.txt` is not utf-8 text: byte offset 0" in ended.err
    assert "4 of 6 records failed" in ended.err


def test_the_first_error_may_end_the_run(oag: Oag, echo: str) -> None:
    Path("bad.txt").write_bytes(b"")
    ended = oag("run", echo, "a.txt", "bad.txt", "b.txt", "--backend", "echo", "--stop-on-error")
    assert ended.code == 1
    assert [row["source"] for row in rows(ended)] == ["a.txt", "bad.txt"]
    assert "stopped at the first error" in ended.err


def test_a_record_whose_answer_is_bad_fails_alone(oag: Oag, tmp_path: Path) -> None:
    path = tmp_path / "parse.yaml"
    path.write_text(
        EXTRACT.replace("  parse: {type: output.parse}", "  parse: {type: output.parse}").replace(
            "      schema: {type: object, properties: {name: {type: string}}, required: [name]}",
            "      stop: ['#']",
        )
    )
    ended = oag("run", str(path), "--text", "{}", "--text", "no json", "--backend", "echo")
    assert ended.code == 1
    first, second = rows(ended)
    assert first["outputs"] == {"fields": {}}
    assert second["error"]["code"] == "OAG403"  # type: ignore[index] # a row is JSON
    assert "the answer is not JSON" in ended.err


def test_text_output_is_the_value_alone_and_has_headings_for_several(oag: Oag, echo: str) -> None:
    one = oag("run", echo, "a.txt", "--backend", "echo", "--output", "text")
    assert one.out == "text a\n"
    two = oag("run", echo, "a.txt", "b.txt", "--backend", "echo", "--output", "text")
    assert two.out == "== a.txt\ntext a\n== b.txt\ntext b\n"


def test_structured_outputs_read_well(oag: Oag, tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(EXTRACT)
    ended = oag("run", str(tmp_path / "x.yaml"), "--text", "Ana", "--backend", "echo")
    assert ended.code == 0
    assert set(rows(ended)[0]["outputs"]["fields"]) == {"name"}  # type: ignore[index] # a row is JSON


def test_timings_name_every_step(oag: Oag, echo: str) -> None:
    ended = oag("run", echo, "a.txt", "--backend", "echo", "--timings")
    timings = rows(ended)[0]["timings_s"]
    assert isinstance(timings, dict)
    assert set(timings) == {"generate"}
    told = oag("run", echo, "a.txt", "--backend", "echo", "--timings", "--output", "text")
    assert told.err.startswith("a.txt: generate 0.")


def test_results_may_go_to_a_file(oag: Oag, echo: str) -> None:
    ended = oag("run", echo, "a.txt", "--backend", "echo", "--out", "out.jsonl")
    assert (ended.code, ended.out) == (0, "")
    assert json.loads(Path("out.jsonl").read_text())["outputs"] == {"answer": "text a"}
    oag("run", echo, "b.txt", "--backend", "echo", "--out", "out.jsonl", "--append")
    assert len(Path("out.jsonl").read_text().splitlines()) == 2


def test_a_run_that_stopped_does_not_take_the_name(oag: Oag, echo: str) -> None:
    Path("bad.txt").write_bytes(b"")
    Path("out.jsonl").write_text("old\n")
    args = ("run", echo, "a.txt", "bad.txt", "--backend", "echo", "--out", "out.jsonl")
    ended = oag(*args, "--stop-on-error")
    assert ended.code == 1
    assert Path("out.jsonl").read_text() == "old\n"
    assert len(Path("out.jsonl.part").read_text().splitlines()) == 2
    assert "out.jsonl.part" in ended.err


def test_set_reaches_steps_and_inputs(oag: Oag, echo: str) -> None:
    text = Path(echo).read_text().replace("generate.prompt}", "generate.prompt, default: none}")
    Path(echo).write_text(text)
    ended = oag("run", echo, "a.txt", "--backend", "echo", "--set", "generate.max_length=4")
    assert rows(ended)[0]["outputs"] == {"answer": "text"}
    ended = oag("run", echo, "a.txt", "--backend", "echo", "--max-length", "3")
    assert rows(ended)[0]["outputs"] == {"answer": "tex"}


def test_a_long_text_works(oag: Oag, echo: str) -> None:
    Path("long.txt").write_text("长 text\n" * 2_200_000, encoding="utf-8")  # 22 MB
    args = ("run", echo, "long.txt", "--backend", "echo", "--max-length", "3")
    ended = oag(*args)
    assert rows(ended)[0]["error"] is None or "longer than the model's context" in ended.err


@pytest.mark.parametrize(
    ("args", "told"),
    [
        pytest.param((), "nothing to work on", id="no input"),
        pytest.param(("nope.txt",), "no such file", id="no such file"),
        pytest.param((".",), "is a folder", id="a folder"),
        pytest.param(("*.nope",), "no file matches", id="a glob without a match"),
        pytest.param(("a.txt", "--text", ""), "`--text` holds no text", id="an empty text"),
        pytest.param(("a.txt", "--set", "x"), "`--set` cannot be read", id="set garbage"),
        pytest.param(("a.txt", "--set", "gen.x=1"), "no component `gen`", id="set nothing"),
        pytest.param(("a.txt", "--option", "x"), "`--option` cannot be read", id="option garbage"),
        pytest.param(("a.txt", "--option", "top_k=x"), "`top_k`", id="a wrong option"),
        pytest.param(("a.txt", "--option", "nope=1"), "nope", id="an unknown option"),
        pytest.param(("a.txt", "--max-length", "0"), "`max_length`", id="a length of 0"),
        pytest.param(("a.txt", "--max-length", "x"), "--max-length", id="a length of x"),
        pytest.param(("a.txt", "--temperature", "nan"), "`temperature`", id="no temperature"),
        pytest.param(("a.txt", "--encoding", "x"), "no text encoding", id="no encoding"),
        pytest.param(("a.txt", "--output", "xml"), "--output", id="no such output"),
        pytest.param(("a.txt", "--window", "0"), "--window", id="no window"),
        pytest.param(("a.txt", "--nope"), "No such option", id="no such flag"),
        pytest.param(("a.txt", "--backend", "ehco"), "did you mean `echo`?", id="no such backend"),
    ],
)
def test_wrong_usage_ends_with_2_and_writes_nothing(
    oag: Oag, echo: str, args: tuple[str, ...], told: str
) -> None:
    ended = oag("run", echo, "--backend", "echo", *args)
    assert (ended.code, ended.out) == (2, "")
    assert told in ended.err
    assert "Traceback" not in ended.err


@pytest.mark.usefixtures("echo")
def test_an_unknown_task_is_refused_with_the_nearest(oag: Oag) -> None:
    ended = oag("run", "summarise", "a.txt", "--backend", "echo")
    assert ended.code == 2
    assert "did you mean `summarize`?" in ended.err
    assert oag("run", "nope.yaml", "a.txt").code == 2


def test_an_error_in_a_pipeline_file_names_its_line(oag: Oag, echo: str) -> None:
    Path(echo).write_text(ECHO.replace("model.generate", "model.genrate"))
    ended = oag("run", echo, "a.txt", "--backend", "echo")
    assert ended.code == 2
    assert "echo.yaml:6:" in ended.err
    assert "did you mean `model.generate`?" in ended.err


def test_a_model_that_cannot_be_loaded_ends_with_3(oag: Oag, echo: str) -> None:
    ended = oag("run", echo, "a.txt", "b.txt", "--model", "./no-such-model")
    assert (ended.code, ended.out) == (3, "")
    assert ended.err.count("[OAG301]") == 1


def test_the_model_answers_with_the_adapter(
    oag: Oag, echo: str, tiny_model: Callable[..., Path]
) -> None:
    folder = tiny_model("qwen2")
    adapter = save_adapter(folder, "support", size=0.4)
    args = ("run", echo, "a.txt", "--model", str(folder), "--max-length", "16")
    plain, adapted = oag(*args), oag(*args, "--adapter", "support")
    assert (plain.code, adapted.code) == (0, 0)
    with AutoGLM(folder, adapters={"support": adapter}, max_length=16) as engine:
        wanted = engine.run("text a", adapter="support").text
    assert json.loads(adapted.out)["outputs"]["answer"] == wanted
    assert plain.out != adapted.out


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("--adapter", "gone"), "takes no adapters"),
        (("--adapter", "x", "--option", "adapters={y: z}"), "leave out `--option adapters`"),
    ],
    ids=["no adapters", "given twice"],
)
def test_an_adapter_that_cannot_be_ends_with_2(
    oag: Oag, echo: str, args: tuple[str, ...], said: str
) -> None:
    ended = oag("run", echo, "a.txt", "--backend", "echo", *args)
    assert (ended.code, ended.out) == (2, "")
    assert said in ended.err


def test_an_adapter_that_is_not_there_ends_with_2_and_its_name(
    oag: Oag, echo: str, tiny_model: Callable[..., Path]
) -> None:
    ended = oag("run", echo, "a.txt", "--model", str(tiny_model("qwen2")), "--adapter", "./gone")
    assert (ended.code, ended.out) == (2, "")
    assert "[OAG315]" in ended.err
    assert "gone" in ended.err


def test_records_that_cannot_be_read_need_no_model(oag: Oag, echo: str) -> None:
    Path("bad.txt").write_bytes(b"")
    ended = oag("run", echo, "bad.txt", "--model", "./no-such-model")
    assert ended.code == 1
    assert "holds no text" in ended.err


def test_a_server_that_answers_nothing_ends_with_3(oag: Oag, echo: str) -> None:
    with socket.socket() as free:  # a port that was free a moment ago, and refuses
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    args = ("--model", url, "--option", "model=x", "--option", "max_retries=0")
    ended = oag("run", echo, "a.txt", *args, "--option", "api_key=none")
    assert ended.code == 3, ended.err
    assert "[OAG" in ended.err


def test_a_traceback_is_shown_only_when_asked_for(
    oag: Oag, echo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "Traceback" not in oag("run", echo, "nope.txt").err
    monkeypatch.setenv("OPENAUTOGLM_DEBUG", "1")
    assert "Traceback" in oag("run", echo, "nope.txt").err


def test_the_text_goes_to_the_input_called_text_or_to_the_only_one_that_must_be(
    oag: Oag, echo: str
) -> None:
    file = Path(echo)
    file.write_text(ECHO.replace("text: {to", "message: {to"))
    assert rows(oag("run", echo, "a.txt", "--backend", "echo"))[0]["error"] is None
    more = "text: {to: generate.prompt}"
    file.write_text(ECHO.replace(more, "a: {to: generate.prompt}\n  b: {to: generate.source}"))
    ended = oag("run", echo, "a.txt", "--backend", "echo")
    assert ended.code == 2
    assert "has no input `text`" in ended.err


def test_fields_of_a_row_and_settings_fill_the_other_inputs(oag: Oag, tmp_path: Path) -> None:
    (tmp_path / "reply.yaml").write_text(
        """
name: reply
inputs:
  text: {to: ask.text}
  tone: {to: ask.tone, default: plain}
components:
  ask: {type: prompt.render, params: {template: "{tone}: {text}"}}
  generate: {type: model.generate}
connections:
  - {sender: ask.prompt, receiver: generate.prompt}
outputs: {answer: generate.text}
"""
    )
    rows_file = tmp_path / "rows.jsonl"
    rows_file.write_text('{"text": "a", "tone": "kind"}\n{"text": "b"}\n')
    args = ("run", str(tmp_path / "reply.yaml"), str(rows_file), "--backend", "echo")
    answers = [row["outputs"] for row in rows(oag(*args))]
    assert answers == [{"answer": "kind: a"}, {"answer": "plain: b"}]
    answers = [row["outputs"] for row in rows(oag(*args, "--set", "tone=curt"))]
    assert answers == [{"answer": "kind: a"}, {"answer": "curt: b"}]


def test_a_pipeline_whose_steps_use_no_model_loads_none(oag: Oag, tmp_path: Path) -> None:
    file = tmp_path / "render.yaml"
    file.write_text(
        """
name: render
inputs: {text: {to: ask.text}}
components: {ask: {type: prompt.render, params: {template: "<{text}>"}}}
outputs: {prompt: ask.prompt}
"""
    )
    ended = oag("run", str(file), "--text", "x", "--model", "./no-such-model")
    assert (ended.code, rows(ended)[0]["outputs"]) == (0, {"prompt": "<x>"})
