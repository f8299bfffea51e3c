from __future__ import annotations

import platform

import pytest

from openautoglm.ops.machine import CPUINFO, ISA_NAMES, X86_LEVELS, Machine, machine, machine_from

V2 = "cx16 lahf_lm popcnt pni sse4_1 sse4_2 ssse3"
V3 = f"{V2} avx avx2 bmi1 bmi2 f16c fma abm movbe xsave"
V4 = f"{V3} avx512f avx512bw avx512cd avx512dq avx512vl"


def x86(flags: str) -> Machine:
    return machine_from("x86_64", f"processor\t: 0\nflags\t\t: fpu sse2 {flags}\n")


@pytest.mark.parametrize(
    ("flags", "level"),
    [
        ("", "x86-64"),
        (V2, "x86-64-v2"),
        (V3, "x86-64-v3"),
        (V4, "x86-64-v4"),
        (V4.replace("sse4_1 ", ""), "x86-64"),
        (V4.replace("fma ", ""), "x86-64-v2"),
        (V4.replace("avx512vl", ""), "x86-64-v3"),
    ],
)
def test_a_level_needs_all_of_its_flags_and_all_levels_below(flags: str, level: str) -> None:
    found = x86(flags)
    assert found.level == level
    levels = [name for name, _ in X86_LEVELS]
    assert found.isa == set(levels[: levels.index(level) + 1])


def test_features_beside_the_levels_are_found() -> None:
    found = x86(f"{V4} avx512_vnni avx512_bf16 amx_int8 not_a_feature")
    assert found.isa >= {"avx512_vnni", "avx512_bf16", "amx_int8"}
    assert found.isa <= ISA_NAMES


def test_a_core_that_lacks_a_feature_takes_it_from_the_machine() -> None:
    found = machine_from("x86_64", f"flags : {V3}\n\nflags : {V2}\n")
    assert found.level == "x86-64-v2"


def test_arm_has_neon_always_and_features_where_named() -> None:
    assert machine_from("arm64", "").isa == {"neon"}
    found = machine_from("aarch64", "Features\t: fp asimd asimddp sve i8mm bf16\n")
    assert found.isa == {"neon", "neon_dotprod", "sve", "neon_i8mm", "neon_bf16"}
    assert found.level == "aarch64"


def test_the_baseline_is_known_where_cpuinfo_is_missing() -> None:
    assert machine_from("AMD64", "") == Machine(arch="x86_64", isa=frozenset({"x86-64"}))
    assert machine_from("riscv64", "").isa == frozenset()


@pytest.mark.skipif(not CPUINFO.exists(), reason="the processor is read from /proc/cpuinfo")
def test_this_machine_is_probed_once() -> None:
    assert machine() is machine()
    assert machine().arch == platform.machine()
    assert machine().isa
