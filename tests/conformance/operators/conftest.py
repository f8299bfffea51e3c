"""Operators on every side: calls that go directly, compiled slots alone, Python alone."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from openautoglm import ops
from openautoglm.native import cells, direct
from openautoglm.native.toolchain import build_folder
from openautoglm.ops import catalog
from openautoglm.ops.registered import RegisteredOperator
from openautoglm.registry import owned_by

Define: TypeAlias = Callable[..., RegisteredOperator]
Build: TypeAlias = Callable[..., Path]
SCHEMA = "tagged(Tensor x, float scale=1.0) -> Tensor"
OWNER = "tests.conformance"


@pytest.fixture(scope="session", autouse=True)
def cache_of_these_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the user's own cache out of these tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENAUTOGLM_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(params=["direct calls", "compiled slots", "python"], autouse=True)
def side(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Which implementation the operators that a test makes are bound to."""
    ops.names()  # the built-in ones stay as they are
    if request.param == "python":
        monkeypatch.setenv("OPENAUTOGLM_NATIVE", "0")
    elif cells.unavailable() is not None:
        pytest.skip(f"the compiled core is not there: {cells.unavailable()}")
    elif request.param == "compiled slots":
        monkeypatch.setenv("OPENAUTOGLM_DIRECT", "0")
    elif direct.load(cells.library_path("liboag_core")) is None:
        pytest.skip("the compiled core has no direct calls: built without Python's headers")
    return str(request.param)


@pytest.fixture
def define(side: str) -> Iterator[Define]:
    """Return `define(declaration or name, **options)`; its operators go when the test ends."""
    del side

    def make(text: str, **options: object) -> RegisteredOperator:
        with owned_by(OWNER):
            if "(" not in text:
                return ops.define(text, **options)  # type: ignore[arg-type] # options by name
            return catalog.add(ops.OpDef.from_schema(text, **options))  # type: ignore[arg-type] # as above

    yield make
    ops.OPERATORS.revoke(OWNER)


@pytest.fixture
def copy_of(side: str) -> Callable[[str], RegisteredOperator]:
    """Return a function from a built-in operator's name to a copy of it, bound to this side."""
    del side

    def copy(name: str) -> RegisteredOperator:
        original = ops.get(name)
        made = RegisteredOperator(original.opdef)
        made.table.add(*(k for k in original.table.kernels if k.name != "reference"))
        return made

    return copy


@pytest.fixture
def public_of() -> Callable[..., Any]:
    """Return a function from an operator and a first call's arguments to its public slot."""

    def find(operator: RegisteredOperator, *arguments: object) -> Callable[..., Any]:
        from torch import ops as torch_ops

        from openautoglm.ops.torch_bridge import slots

        before = set(slots._taken)
        operator(*arguments)
        (name,) = (name for name in slots._taken - before if not name.startswith("_"))
        slot: Callable[..., Any] = getattr(torch_ops.oag, name).default
        return slot

    return find


@pytest.fixture(scope="session")
def build() -> Build:
    """Return `build(value, schema)`: a library whose operator `tagged` is x * scale + value."""
    if shutil.which("gcc") is None:
        pytest.skip("there is no C compiler")

    def make(value: int, schema: str = SCHEMA) -> Path:
        flags = (f"-DVALUE={value}", f'-DSCHEMA="{schema}"')
        return build_folder(Path(__file__).parent / "tagged", flags=flags).path

    return make


@pytest.fixture
def loaded(side: str, build: Build) -> Iterator[ops.LoadedLibrary]:
    """The library `tagged` with value 1, unloaded when the test ends."""
    del side
    library = ops.load_library(build(1), name="tagged")
    yield library
    library.unload()
