"""Operators of one test, gone after it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from openautoglm import ops
from openautoglm.native.toolchain import build_folder
from openautoglm.registry import owned_by

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

OWNER = "tests.ops"
TAGGED = Path(__file__).parents[2] / "conformance/operators/tagged"
SCHEMA = "tagged(Tensor x, float scale=1.0) -> Tensor"


@pytest.fixture(scope="session", autouse=True)
def cache_of_these_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the user's own cache out of these tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENAUTOGLM_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def owned() -> Iterator[str]:
    """An owner in force; what the test adds is taken back when it ends."""
    with owned_by(OWNER):
        yield OWNER
    ops.OPERATORS.revoke(OWNER)


@pytest.fixture(scope="session")
def build_tagged() -> Callable[..., Path]:
    """Return `build(value, schema)`: a library whose operator `tagged` is x * scale + value."""
    if shutil.which("gcc") is None:
        pytest.skip("there is no C compiler")

    def make(value: int, schema: str = SCHEMA) -> Path:
        return build_folder(TAGGED, flags=(f"-DVALUE={value}", f'-DSCHEMA="{schema}"')).path

    return make


@pytest.fixture(scope="session")
def build_c(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return `build(C text)`, to a library; `openautoglm/c.h` is included."""
    if shutil.which("gcc") is None:
        pytest.skip("there is no C compiler")

    def make(text: str) -> Path:
        folder = tmp_path_factory.mktemp("sources")
        (folder / "made.c").write_text("#include <openautoglm/c.h>\n" + text, encoding="utf-8")
        return build_folder(folder).path

    return make
