from __future__ import annotations

import pytest

from openautoglm.engine.choosing import Choice, choose


@pytest.mark.parametrize(
    ("model", "default", "is_folder", "expected"),
    [
        (None, None, False, ("nano", None)),
        ("nano", None, False, ("nano", None)),
        ("nano", None, True, ("transformers", "nano")),
        (None, "./models/x", True, ("transformers", "./models/x")),
        ("./models/x", "http://a/v1", True, ("transformers", "./models/x")),
        (None, "http://a/v1", False, ("openai", "http://a/v1")),
        ("HTTPS://a.example/v1", None, False, ("openai", "HTTPS://a.example/v1")),
        ("Qwen/Qwen2-0.5B", None, False, ("transformers", "Qwen/Qwen2-0.5B")),
    ],
)
def test_auto_picks_by_what_the_model_is(
    model: str | None,
    default: str | None,
    is_folder: bool,  # noqa: FBT001 - a column of the table
    expected: tuple[str, str | None],
) -> None:
    choice = choose(model, default_model=default, is_folder=is_folder, not_native="it is too odd")
    assert (choice.backend, choice.model) == expected


@pytest.mark.parametrize(
    ("model", "is_folder", "expected"),
    [
        (None, False, "nano"),
        ("nano", False, "nano"),
        ("nano", True, "native"),
        ("./models/x", True, "native"),
        ("org/name", False, "transformers"),
        ("http://a/v1", False, "openai"),
    ],
)
def test_a_folder_that_native_can_run_is_run_by_it(
    model: str | None,
    is_folder: bool,  # noqa: FBT001 - a column of the table
    expected: str,
) -> None:
    assert choose(model, is_folder=is_folder, not_native=None).backend == expected


def test_a_folder_is_run_by_native_or_it_is_said_why_not() -> None:
    choice = choose("./x", is_folder=True, not_native=None)
    assert choice.reason.startswith("it is a folder on this machine")
    assert (
        dict(choice.refused)["transformers"] == "native decodes this folder faster, without torch"
    )
    choice = choose("./x", is_folder=True, not_native="it computes on the CPU")
    assert choice.reason == "it is a folder on this machine"
    assert dict(choice.refused)["native"] == "it computes on the CPU"


def test_a_choice_says_why_and_why_not() -> None:
    choice = choose(None, default_model="http://a/v1")
    assert choice.reason == "it is the URL of a server (from OPENAUTOGLM_MODEL)"
    assert dict(choice.refused) == {
        "nano": "a model was named",
        "native": "a URL is not a folder",
        "transformers": "a URL is neither a folder nor a model name",
    }


def test_a_backend_that_is_asked_for_by_name_is_taken() -> None:
    assert choose("x", backend="openai") == Choice(
        backend="openai", model="x", reason="it was asked for by name"
    )
    assert choose(None, backend="nano", default_model="x").model is None
    assert choose(None, backend="transformers", default_model="x").model == "x"
