"""One cache folder for all tests here, and a way from source text to a library."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from openautoglm.native.library import KernelLibrary
from openautoglm.native.toolchain import build_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture(scope="session", autouse=True)
def cache_of_these_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The cache folder of this run; never the user's own."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENAUTOGLM_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="session")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., KernelLibrary]:
    """Return a function (file name=text, ...) to a library built of these files and opened."""

    def build(**files: str) -> KernelLibrary:
        folder = tmp_path_factory.mktemp("sources")
        for name, text in files.items():
            stem, _, suffix = name.rpartition("_")
            (folder / f"{stem}.{suffix}").write_text(text, encoding="utf-8")
        return KernelLibrary.open(build_folder(folder, flags=("-O0", "-Werror")).path)

    return build
