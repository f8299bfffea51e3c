"""Names on the model hub, with the hub's real loading code and a cache made by hand."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from openautoglm import AutoGLM
from openautoglm.engine.source import cached_folder

if TYPE_CHECKING:
    from collections.abc import Callable

REVISION = "0123456789abcdef0123456789abcdef01234567"
LOAD = """
import sys
from openautoglm import AutoGLM, OpenAutoGLMError
for name in sys.argv[1:]:
    try:
        with AutoGLM(name, max_length=3) as engine:
            print(engine.model_info.model, engine.run("dog").completion_tokens)
    except OpenAutoGLMError as error:
        print(error)
"""


def cached(home: Path, name: str, source: Path) -> Path:
    """Put a model into the hub's cache below `home`; return its snapshot."""
    model = home / "hub" / f"models--{name.replace('/', '--')}"
    (model / "refs").mkdir(parents=True)
    (model / "refs" / "main").write_text(REVISION, encoding="utf-8")
    return Path(shutil.copytree(source, model / "snapshots" / REVISION))


def load(home: Path, *names: str, **env: str) -> str:
    """Load names in a process of its own: the hub reads the environment when it is imported."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "OPENAUTOGLM_"))}
    done = subprocess.run(
        [sys.executable, "-c", LOAD, *names],
        env={**kept, "HF_HOME": str(home), "OMP_NUM_THREADS": "1", **env},
        cwd=home,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_a_cached_name_is_run_by_the_backend_that_its_folder_would_be(
    tiny_model: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    monkeypatch.setenv("HF_HOME", os.fspath(tmp_path))
    cached(tmp_path, "org/name", tiny_model())
    with AutoGLM("org/name", max_length=3) as engine:
        assert (engine.model_info.backend, engine.model_info.model) == ("native", "org/name")
        assert "the hub's cache" in engine.choice.reason
        text = engine.run("dog").text
    with AutoGLM(tiny_model(), max_length=3) as engine:
        assert engine.run("dog").text == text


@pytest.mark.parametrize(
    "gone", ["config.json", "model.safetensors", "tokenizer*.json", "../../refs/main"]
)
def test_a_cached_model_that_is_not_whole_is_not_taken(
    tiny_model: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gone: str
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", os.fspath(tmp_path / "hub"))
    snapshot = cached(tmp_path, "org/name", tiny_model())
    assert cached_folder("org/name") == snapshot
    for file in snapshot.glob(gone):
        file.unlink()
    assert cached_folder("org/name") is None
    assert cached_folder("../name") is None


@pytest.mark.slow
def test_a_cached_name_loads_offline_and_others_say_what_to_do(
    tiny_model: Callable[..., Path], tmp_path: Path
) -> None:
    cached(tmp_path, "org/name", tiny_model())
    cached(tmp_path, "org/old", tiny_model(weights="bin"))
    partial = cached(tmp_path, "org/partial", tiny_model())
    (partial / "model.safetensors").unlink()
    names = ("org/name", "org/old", "org/partial", "org/none", "org/name/")
    said = load(tmp_path, *names, HF_HUB_OFFLINE="1")
    assert said.startswith("org/name 3\norg/old 3\n[OAG302] no weights in the model folder")
    partly, offline, path = said.split("[OAG")[1:]
    assert str(partial) in partly
    assert offline.startswith("301] `org/none` is no folder here and not in the hub's cache")
    assert "fix: check the path; for a hub name, load it once without being offline" in offline
    assert path.startswith("301] no such model folder")


@pytest.mark.slow
def test_a_hub_that_cannot_be_reached_is_not_needed_for_a_cached_name(
    tiny_model: Callable[..., Path], tmp_path: Path
) -> None:
    cached(tmp_path, "org/name", tiny_model())
    nowhere = {"HF_ENDPOINT": "http://127.0.0.1:9"}  # the port of `discard`: nobody listens
    said = load(tmp_path, "org/name", "org/none", "org/a--b", **nowhere)
    first, unreachable, name = said.split("[OAG")
    assert first == "org/name 3\n"
    assert "and the hub cannot be reached" in unreachable
    assert name.startswith("301] `org/a--b` is no folder here and could not be fetched")
    assert "HFValidationError" in name
