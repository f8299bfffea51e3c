"""What needs a GPU: skipped, with the reason, where there is none that torch can use."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import pytest
import torch

from openautoglm import ops
from openautoglm.native import cells
from openautoglm.native.toolchain import compile_library
from openautoglm.ops.registered import RegisteredOperator
from openautoglm.registry import owned_by

Build: TypeAlias = Callable[[float], Path]
Define: TypeAlias = Callable[..., RegisteredOperator]
OWNER = "tests.gpu"
SHIFTED = Path(__file__).parent / "shifted.cu"


def why_not() -> str:
    """Return why the tests of this folder cannot run here; empty where they can."""
    if not torch.version.cuda:
        return "this torch is built without CUDA"
    return "" if torch.cuda.is_available() else "no GPU here"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the tests of this folder where they cannot run."""
    reason = why_not()
    if not reason:
        return
    for item in items:
        if Path(item.path).is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session", autouse=True)
def cache_of_these_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the user's own cache out of these tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENAUTOGLM_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def cuda_kernels() -> str:
    """The name of the package's library of CUDA kernels."""
    ops.names()
    assert cells.library_path("liboag_kernels_cuda") is not None, "built without CUDA kernels"
    return "native_cuda"


@pytest.fixture(scope="session")
def build_shifted() -> Build:
    """Return a function from a number to a library whose `shifted(x)` adds it on the GPU."""

    def build(shift: float) -> Path:
        return compile_library([SHIFTED], flags=(f"-DSHIFT={shift}",), cuda=True)

    return build


@pytest.fixture
def define() -> Iterator[Define]:
    """Return `define(declaration, **options)`; its operators go when the test ends."""

    def make(text: str, **options: object) -> RegisteredOperator:
        with owned_by(OWNER):
            return ops.catalog.add(ops.OpDef.from_schema(text, **options))  # type: ignore[arg-type] # options by name

    yield make
    ops.OPERATORS.revoke(OWNER)
