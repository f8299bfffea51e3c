"""Adapters by name: on every call, for every row, loaded and forgotten while a model generates."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

import pytest

from openautoglm import AutoGLM
from openautoglm.engine.row import Row
from openautoglm.errors import AdapterError, EngineClosedError, InvalidParameterError
from openautoglm.testing import EchoBackend
from openautoglm.testing.lora_adapter import save_adapter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    TinyModel = Callable[..., Path]

PROMPT = "the quick brown fox jumps over the lazy dog, and the fox is quick and brown"
NAMES = (None, "one", "two", "three")


@pytest.fixture(scope="module")
def folders(tiny_model: TinyModel, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("adapters")
    base = tiny_model("qwen2")
    return {
        name: save_adapter(base, root / name, seed=seed, size=0.4, config={"r": 2 + seed})
        for seed, name in enumerate(("one", "two", "three"))
    }


def load(tiny_model: TinyModel, folders: dict[str, Path], **options: Any) -> AutoGLM:  # noqa: ANN401 - as AutoGLM takes them
    given: dict[str, Any] = {"slots": 4, "max_length": 16, "adapters": folders} | options
    return AutoGLM(tiny_model("qwen2"), backend="native", **given)


@pytest.fixture
def engine(tiny_model: TinyModel, folders: dict[str, Path]) -> Iterator[AutoGLM]:
    with load(tiny_model, folders) as engine:
        yield engine


def alone(tiny_model: TinyModel, folders: dict[str, Path], name: str | None) -> str:
    only = {} if name is None else {name: folders[name]}
    with load(tiny_model, only) as engine:
        return engine.run(PROMPT, adapter=name).text


def test_every_call_takes_an_adapter_and_gives_what_it_gives_alone(
    engine: AutoGLM, tiny_model: TinyModel, folders: dict[str, Path]
) -> None:
    wanted = {name: alone(tiny_model, folders, name) for name in NAMES}
    assert len(set(wanted.values())) == len(NAMES)
    for name, text in wanted.items():
        assert engine.run(PROMPT, adapter=name).text == text
        assert "".join(engine.stream(PROMPT, adapter=name)) == text
        assert [one.text for one in engine.batch([PROMPT] * 2, adapter=name)] == [text] * 2
    names = [*NAMES, *reversed(NAMES)] * 2
    mixed = [one.text for one in engine.batch([PROMPT] * len(names), adapter=names)]
    assert mixed == [wanted[name] for name in names]
    rows = (Row(prompt=PROMPT, id=(i, name), adapter=name) for i, name in enumerate(names))
    found = dict(engine.stream_batch(rows))
    assert {key: one.text for key, one in found.items()} == {
        (i, name): wanted[name] for i, name in enumerate(names)
    }


def test_rows_in_worker_processes_have_their_adapters(
    engine: AutoGLM, tiny_model: TinyModel, folders: dict[str, Path]
) -> None:
    prompts = [f"{PROMPT} {i}" for i in range(12)]
    names = [NAMES[i % 4] for i in range(12)]
    wanted = [one.text for one in engine.batch(prompts, adapter=names)]
    with load(tiny_model, {}, processes=2) as spread:
        for name, folder in folders.items():
            spread.load_adapter(name, folder)
        assert [one.text for one in spread.batch(prompts, adapter=names)] == wanted


def test_a_name_that_is_not_loaded_fails_alone_and_names_those_that_are(engine: AutoGLM) -> None:
    with pytest.raises(InvalidParameterError) as caught:
        engine.run("x", adapter="twoo")
    assert "loaded: one, three, two" in str(caught.value)
    assert "did you mean `two`" in str(caught.value)
    rows = [Row(prompt="x", adapter=name) for name in ("one", "four", None)]
    found = dict(engine.stream_batch(rows))
    assert [found[i].error is None for i in range(3)] == [True, False, True]
    assert "four" in str(found[1].error)


def test_an_adapter_that_is_forgotten_serves_what_is_under_way_and_its_name_is_free(
    engine: AutoGLM, folders: dict[str, Path]
) -> None:
    whole = engine.run(PROMPT, adapter="one", max_length=40).text
    stream = engine.stream(PROMPT, adapter="one", max_length=40)
    first = list(islice(stream, 1))
    engine.unload_adapter("one")
    assert list(engine.adapters) == ["two", "three"]
    with pytest.raises(InvalidParameterError, match="no adapter is called `one`"):
        engine.run("x", adapter="one")
    engine.load_adapter("one", folders["two"])
    assert engine.run(PROMPT, adapter="one").text == engine.run(PROMPT, adapter="two").text
    assert "".join([*first, *stream]) == whole


def test_an_adapter_outlives_sleep(engine: AutoGLM) -> None:
    before = engine.run(PROMPT, adapter="two").text
    engine.sleep()
    engine.unload_adapter("one")
    assert engine.state == "asleep"
    assert engine.run(PROMPT, adapter="two").text == before


def test_names_and_folders_are_checked(engine: AutoGLM, folders: dict[str, Path]) -> None:
    with pytest.raises(InvalidParameterError, match="called `one` already"):
        engine.load_adapter("one", folders["two"])
    for name in ("", 3, None):
        with pytest.raises(InvalidParameterError, match="called by a str"):
            engine.load_adapter(name, folders["two"])  # type: ignore[arg-type]  # that is the test
    with pytest.raises(InvalidParameterError, match="is a folder"):
        engine.load_adapter("four", 4)  # type: ignore[arg-type]  # that is the test
    with pytest.raises(AdapterError, match="no adapter_config"):
        engine.load_adapter("four", "nowhere")
    with pytest.raises(InvalidParameterError, match="no adapter is called `four`"):
        engine.unload_adapter("four")
    with pytest.raises(InvalidParameterError, match="called by a str"):
        engine.run("x", adapter=4)  # type: ignore[arg-type]  # that is the test
    engine.close()
    with pytest.raises(EngineClosedError):
        engine.load_adapter("four", folders["two"])


def test_a_model_whose_first_adapter_does_not_fit_is_not_there(
    tiny_model: TinyModel, tmp_path: Path
) -> None:
    other = save_adapter(tiny_model("llama"), tmp_path)
    with pytest.raises(AdapterError, match="another base"):
        load(tiny_model, {"other": other})
    with pytest.raises(InvalidParameterError, match="map names to folders"):
        AutoGLM(tiny_model("qwen2"), backend="native", adapters=[other])  # type: ignore[arg-type]  # that is the test


def test_a_backend_that_takes_no_adapters_says_who_does(tmp_path: Path) -> None:
    with AutoGLM(backend=EchoBackend()) as engine:
        assert engine.run("x", adapter=None).text == "x"
        for ask in (
            lambda: engine.run("x", adapter="one"),
            lambda: engine.load_adapter("one", tmp_path),
        ):
            with pytest.raises(InvalidParameterError, match="`echo` takes no adapters") as caught:
                ask()
            assert '"native"' in str(caught.value)
