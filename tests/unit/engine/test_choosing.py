from __future__ import annotations

import pytest

from openautoglm.engine.choosing import Choice, Kind, choose


@pytest.mark.parametrize(
    ("model", "default", "kind", "expected"),
    [
        (None, None, "other", ("nano", None)),
        ("nano", None, "other", ("nano", None)),
        ("nano", None, "folder", ("transformers", "nano")),
        (None, "./models/x", "folder", ("transformers", "./models/x")),
        ("./models/x", "http://a/v1", "folder", ("transformers", "./models/x")),
        (None, "http://a/v1", "other", ("openai", "http://a/v1")),
        ("HTTPS://a.example/v1", None, "other", ("openai", "HTTPS://a.example/v1")),
        ("Qwen/Qwen2-0.5B", None, "other", ("transformers", "Qwen/Qwen2-0.5B")),
    ],
)
def test_auto_picks_by_what_the_model_is(
    model: str | None,
    default: str | None,
    kind: Kind,
    expected: tuple[str, str | None],
) -> None:
    choice = choose(model, default_model=default, kind=kind, not_native="it is too odd")
    assert (choice.backend, choice.model) == expected


@pytest.mark.parametrize(
    ("model", "kind", "expected"),
    [
        (None, "other", "nano"),
        ("nano", "other", "nano"),
        ("nano", "folder", "native"),
        ("./models/x", "folder", "native"),
        ("org/name", "other", "transformers"),
        ("http://a/v1", "other", "openai"),
    ],
)
def test_a_folder_that_native_can_run_is_run_by_it(
    model: str | None,
    kind: Kind,
    expected: str,
) -> None:
    assert choose(model, kind=kind, not_native=None).backend == expected


def test_a_folder_is_run_by_native_or_it_is_said_why_not() -> None:
    choice = choose("./x", kind="folder", not_native=None)
    assert choice.reason.startswith("it is a folder on this machine")
    better = "native decodes this folder faster on this machine, without torch"
    assert dict(choice.refused)["transformers"] == dict(choice.refused)["vllm"] == better
    choice = choose("./x", kind="folder", not_native="it computes on the CPU")
    assert choice.reason == "it is a folder on this machine"
    assert dict(choice.refused)["native"] == "it computes on the CPU"


def test_a_folder_on_a_machine_with_a_gpu_is_run_by_vllm_where_it_is_installed() -> None:
    choice = choose("./x", kind="folder", not_native="it computes on the CPU", not_vllm=None)
    assert choice.backend == "vllm"
    assert choice.reason == "it is a folder on this machine, which has a GPU and vllm"
    refused = dict(choice.refused)
    assert refused["transformers"] == "vllm decodes this folder faster on this machine's GPU"
    assert refused["native"] == "it computes on the CPU"
    choice = choose("./x", kind="folder", not_native="odd", not_vllm="vllm is not installed")
    assert choice.backend == "transformers"
    assert dict(choice.refused)["vllm"] == "vllm is not installed"


def test_a_gguf_file_is_for_llama_cpp_alone() -> None:
    choice = choose(None, default_model="./x.gguf", kind="gguf")
    assert (choice.backend, choice.model) == ("gguf", "./x.gguf")
    assert choice.reason == "it is a GGUF file (from OPENAUTOGLM_MODEL)"
    refused = dict(choice.refused)
    assert refused["native"] == refused["vllm"] == "a GGUF file is for llama.cpp"


@pytest.mark.parametrize("kind", ["folder", "gguf", "other"])
@pytest.mark.parametrize("model", [None, "nano", "./x", "http://a/v1"])
def test_every_backend_is_chosen_or_refused_with_a_reason(model: str | None, kind: Kind) -> None:
    choice = choose(model, kind=kind, not_native="odd")
    named = {"nano", "openai", "gguf", "native", "vllm", "transformers"}
    assert {choice.backend, *dict(choice.refused)} == named
    assert choice.backend not in dict(choice.refused)
    assert all(reason for _, reason in choice.refused)


def test_a_choice_says_why_and_why_not() -> None:
    choice = choose(None, default_model="http://a/v1")
    assert choice.reason == "it is the URL of a server (from OPENAUTOGLM_MODEL)"
    otherwise = "a URL is no folder, file or name"
    assert dict(choice.refused) == {
        "nano": "a model was named",
        "gguf": otherwise,
        "native": otherwise,
        "vllm": otherwise,
        "transformers": otherwise,
    }


def test_a_backend_that_is_asked_for_by_name_is_taken() -> None:
    assert choose("x", backend="openai") == Choice(
        backend="openai", model="x", reason="it was asked for by name"
    )
    assert choose(None, backend="nano", default_model="x").model is None
    assert choose(None, backend="transformers", default_model="x").model == "x"
