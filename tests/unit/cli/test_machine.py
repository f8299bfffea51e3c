"""Facts about a machine are parsed from text, so every machine can be tested here."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from openautoglm.cli.backends import examine_backends
from openautoglm.cli.doctor import as_data
from openautoglm.cli.ending import run_to_end
from openautoglm.cli.machine import (
    Machine,
    Memory,
    gib,
    look,
    look_for_graphics,
    parse_cpuinfo,
    parse_meminfo,
    parse_nvidia_smi,
)
from openautoglm.errors import MissingExtraError
from openautoglm.platform_io.packages import Package, installed_version, look_for_packages
from openautoglm.settings import need

if TYPE_CHECKING:
    from pathlib import Path

X86 = "processor\t: 0\nmodel name\t: A Chip\nflags\t\t: fpu avx2 avx512_vnni avx\n"
ARM = "processor\t: 0\nFeatures\t: fp asimd asimddp i8mm\n"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (X86 + X86.replace("A Chip", "B Chip"), ("A Chip", ("avx", "avx2", "avx512_vnni"))),
        (ARM, ("", ("asimd", "asimddp", "i8mm"))),
        ("", ("", ())),
    ],
)
def test_a_processor_is_named_with_the_flags_that_count(
    text: str, found: tuple[str, tuple[str, ...]]
) -> None:
    assert parse_cpuinfo(text) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("MemTotal:  8 kB\nMemFree: 1 kB\nMemAvailable:  4 kB\n", (8192, 4096)),
        ("", (None, None)),
        ("MemTotal:\n", (None, None)),
    ],
)
def test_memory_is_in_bytes_or_not_known(text: str, found: tuple[int | None, int | None]) -> None:
    assert parse_meminfo(text) == found


def test_graphics_cards_are_read_from_the_drivers_table() -> None:
    cards = parse_nvidia_smi("NVIDIA H100 80GB, 81559, 570.1\nA, B, [N/A], 550\n\n")
    assert [(c.name, c.memory, c.driver) for c in cards] == [
        ("NVIDIA H100 80GB", 81559 * 2**20, "570.1"),
        ("A, B", 0, "550"),
    ]


def test_a_driver_that_fails_is_a_note_and_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert look_for_graphics() == ((), "none found (no nvidia-smi on PATH)")
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\nexit 9\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    cards, note = look_for_graphics()
    assert cards == ()
    assert "nvidia-smi failed" in note


def test_packages_come_from_the_requirements_with_their_extras() -> None:
    requirements = [
        "msgspec>=0.22",
        "no-such-package-here<3,>=1; extra == 'local'",
        'torch>=2; python_version > "3" and extra == "local"',
        "pytest; extra == 'dev'",
    ]
    assert look_for_packages(requirements) == (
        Package(name="msgspec", version=installed_version("msgspec"), extra=None),
        Package(name="no-such-package-here", version=None, extra="local"),
        Package(name="torch", version=installed_version("torch"), extra="local"),
    )


def with_missing(machine: Machine, name: str) -> Machine:
    packages = (replace(p, version=None) if p.name == name else p for p in machine.packages)
    return replace(machine, packages=tuple(packages))


def test_a_backend_that_lacks_a_package_names_the_fix() -> None:
    backends = examine_backends(with_missing(look(), "openai"))
    assert backends["transformers"] is None
    assert backends["openai"] == 'needs openai: pip install "openautoglm[openai]"'


def test_the_fix_doctor_names_is_the_one_need_names() -> None:
    with pytest.raises(MissingExtraError) as caught:
        need("no_such_module_here", extra="openai", why="a test")
    backends = examine_backends(with_missing(look(), "openai"))
    assert str(caught.value.fix) in str(backends["openai"])


def test_the_report_is_json_and_complete() -> None:
    machine = look()
    data = as_data(machine, {"nano": None, "openai": "needs x"})
    report = json.loads(json.dumps(data))
    assert report["backends"]["openai"] == {"available": False, "lacks": "needs x"}
    assert report["platform"] == "local"
    assert {"system", "python", "processor", "memory", "graphics", "packages"} <= report.keys()


def test_doctor_prints_a_line_for_every_package_and_backend(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run_to_end(["doctor"]) == 0
    told = capsys.readouterr().out
    for word in ("msgspec", "torch [local]", "openai: available", "platform     local"):
        assert word in told


def test_doctor_imports_no_model_package() -> None:
    program = (
        "import sys; from openautoglm.cli.ending import run_to_end; run_to_end(['doctor'])\n"
        "print(sorted({'torch', 'transformers', 'numpy', 'openai', 'rich'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_free_memory_keeps_to_the_limit_of_the_container() -> None:
    assert Memory(total=8, available=4, limit=2).free == 2
    assert Memory(total=8, available=4).free == 4
    assert Memory().free is None


def test_sizes_are_written_for_people() -> None:
    assert [gib(n) for n in (None, 2**20, 3 * 2**29)] == ["not known", "1.0 MiB", "1.5 GiB"]
