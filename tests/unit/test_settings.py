from __future__ import annotations

from pathlib import Path

import pytest

from openautoglm.errors import InvalidParameterError, MissingExtraError
from openautoglm.settings import Settings, need


def test_an_empty_environment_gives_the_defaults() -> None:
    assert Settings.from_env({}) == Settings(model=None, prompts_dir=Path("prompts"))


def test_an_empty_variable_means_unset() -> None:
    assert Settings.from_env({"OPENAUTOGLM_MODEL": "", "OPENAUTOGLM_PROMPTS": ""}) == Settings()


def test_each_variable_sets_its_field() -> None:
    env = {
        "OPENAUTOGLM_MODEL": "./m",
        "OPENAUTOGLM_PROMPTS": "/p",
        "OPENAUTOGLM_HOME": "/h",
        "OPENAUTOGLM_LEDGER": "sqlite:////l.db",
    }
    assert Settings.from_env(env) == Settings(
        model="./m", prompts_dir=Path("/p"), home=Path("/h"), ledger="sqlite:////l.db"
    )


def test_numbers_are_read_and_what_is_none_is_named() -> None:
    settings = Settings.from_env({"OPENAUTOGLM_ANSWERS_MB": "16"})
    assert (settings.answers_mb, settings.worker_grace_s) == (16, 5.0)
    assert Settings.from_env({"OPENAUTOGLM_WORKER_GRACE_S": "0.5"}).worker_grace_s == 0.5
    for text in ("many", "-1", "nan", "inf"):
        with pytest.raises(InvalidParameterError, match="OPENAUTOGLM_ANSWERS_MB"):
            Settings.from_env({"OPENAUTOGLM_ANSWERS_MB": text})


def test_home_follows_where_this_user_keeps_data() -> None:
    assert Settings.from_env({}).home == Path("~/.local/share/openautoglm")
    assert Settings.from_env({"XDG_DATA_HOME": "/data"}).home == Path("/data/openautoglm")
    own = {"XDG_DATA_HOME": "/data", "OPENAUTOGLM_HOME": "/h"}
    assert Settings.from_env(own).home == Path("/h")


def test_kernels_are_preferred_by_operator() -> None:
    settings = Settings.from_env({"OPENAUTOGLM_KERNELS": "add=reference; mul=fast, native;"})
    assert settings.kernels == {"add": ("reference",), "mul": ("fast", "native")}


@pytest.mark.parametrize("text", ["add", "=fast", "add=", "add=,"])
def test_a_preference_that_names_no_kernel_is_refused(text: str) -> None:
    with pytest.raises(InvalidParameterError, match="OPENAUTOGLM_KERNELS"):
        Settings.from_env({"OPENAUTOGLM_KERNELS": text})


def test_a_missing_package_names_the_extra_that_brings_it() -> None:
    with pytest.raises(MissingExtraError) as caught:
        need("no_such_package_here", extra="local", why="the nano model")
    assert 'pip install "openautoglm[local]"' in str(caught.value)
    assert "the nano model needs the package `no_such_package_here`" in str(caught.value)


def test_a_present_package_is_returned() -> None:
    assert need("json", extra="local", why="a test").__name__ == "json"
