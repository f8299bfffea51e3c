"""GPUs as the driver tells of them; a small library of our own stands for the driver's."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from openautoglm.ops import gpus
from openautoglm.ops.gpus import Gpu, compute_capabilities, select, visible_gpus

if TYPE_CHECKING:
    from pathlib import Path

DRIVER = """
#include <cstdio>
static int major[] = {8, 9, 9}, minor[] = {6, 0, 0};
static int started = 0;
extern "C" {
int nvmlInit_v2() { ++started; return INIT; }
int nvmlShutdown() { --started; return 0; }
int nvmlDeviceGetCount_v2(unsigned* n) { *n = 3; return started == 1 ? 0 : 1; }
int nvmlDeviceGetHandleByIndex_v2(unsigned i, void** h) {
  *h = (void*)(i + 1L); return i == HIDDEN;
}
int nvmlDeviceGetCudaComputeCapability(void* h, int* a, int* b) {
  long i = (long)h - 1; *a = major[i]; *b = minor[i]; return 0;
}
int nvmlDeviceGetUUID(void* h, char* text, unsigned size) {
  std::snprintf(text, size, "GPU-%ld-uuid", (long)h - 1); return 0;
}
struct Memory { unsigned long long total, free, used; };
int nvmlDeviceGetMemoryInfo(void* h, Memory* m) {
  m->total = 80ull << 30; m->free = m->used = 1; return (long)h == 2;  // one does not say
}
}
"""


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Put a driver of three GPUs in the place of NVIDIA's."""
    for name in ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(gpus, "LIBRARY", str(build(tmp_path)))
    return monkeypatch


def build(folder: Path, *, init: int = 0, hidden: int = 99) -> Path:
    source, made = folder / "driver.cc", folder / "driver.so"
    source.write_text(DRIVER)
    flags = ["-shared", "-fPIC", f"-DINIT={init}", f"-DHIDDEN={hidden}", "-w"]
    compiler = shutil.which("g++")
    assert compiler is not None
    subprocess.run([compiler, *flags, source, "-o", made], check=True)
    return made


def test_a_gpu_says_how_much_memory_it_has_unless_the_driver_does_not(
    driver: pytest.MonkeyPatch,
) -> None:
    driver.setenv("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    assert [gpu.memory_bytes for gpu in visible_gpus()] == [80 << 30, 0, 80 << 30]


def test_newer_gpus_come_first_unless_the_bus_orders_them(driver: pytest.MonkeyPatch) -> None:
    assert compute_capabilities() == ((9, 0), (9, 0), (8, 6))
    driver.setenv("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    assert compute_capabilities() == ((8, 6), (9, 0), (9, 0))


@pytest.mark.parametrize(
    ("visible", "left"),
    [
        ("2,0", ((8, 6), (9, 0))),
        ("GPU-0", ((8, 6),)),
        ("GPU-1-uuid, GPU-0", ((9, 0), (8, 6))),
        ("", ()),
        ("-1", ()),
        ("0,-1,1", ((9, 0),)),
        ("0,7,1", ((9, 0),)),
        ("GPU-", ()),
        ("none", ()),
        ("MIG-3f2", ((9, 0),)),
    ],
)
def test_what_cuda_is_told_to_hide_is_hidden(
    driver: pytest.MonkeyPatch, visible: str, left: tuple[tuple[int, int], ...]
) -> None:
    driver.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert compute_capabilities() == left


def test_there_are_no_gpus_without_a_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpus, "LIBRARY", "libthere-is-no-such-driver.so")
    assert compute_capabilities() == ()


def test_a_driver_that_does_not_start_has_no_gpus(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpus, "LIBRARY", str(build(tmp_path, init=9)))
    assert compute_capabilities() == ()


def test_a_gpu_that_the_driver_refuses_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(gpus, "LIBRARY", str(build(tmp_path, hidden=0)))
    assert compute_capabilities() == ((9, 0), (9, 0))


def test_no_gpus_can_be_selected_from_none() -> None:
    assert select([], "0,GPU-1,MIG-2") == []
    assert select([Gpu(capability=(7, 5), uuid="GPU-1")], None)[0].capability == (7, 5)
