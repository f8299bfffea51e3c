"""Under AddressSanitizer a write out of bounds ends the kernel's process, and is a finding."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Final

import pytest

from openautoglm.errors import CheckFailedError
from openautoglm.ops.check import check

ROOT: Final = Path(__file__).parents[4]


def has_sanitizer() -> bool:
    done = subprocess.run(
        ["g++", "-print-file-name=libasan.so"],  # noqa: S607 - as the check itself looks for it
        capture_output=True,
        check=False,
        text=True,
    )
    return Path(done.stdout.strip()).is_absolute()


needs_sanitizer = pytest.mark.skipif(not has_sanitizer(), reason="g++ has no AddressSanitizer here")


@needs_sanitizer
def test_a_write_out_of_bounds_is_told_in_the_sanitizers_words() -> None:
    folder = ROOT / "plugins" / "broken-ops" / "out-of-bounds"

    report = check(folder, profile="quick", dtypes=["f32"], sanitize=True)

    (failure,) = report.failures
    assert failure.subject == "out-of-bounds"
    assert "AddressSanitizer: heap-buffer-overflow" in failure.problem


@needs_sanitizer
def test_a_good_library_passes_under_the_sanitizer() -> None:
    report = check(ROOT / "plugins" / "ops" / "plain-c", profile="quick", sanitize=True)

    assert report.ok, str(report)


def test_only_sources_can_be_built_with_the_sanitizer() -> None:
    with pytest.raises(CheckFailedError, match="has to be compiled in"):
        check("add", sanitize=True)
