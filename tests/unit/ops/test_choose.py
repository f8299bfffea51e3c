from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openautoglm.ops.choose import UNASKED, CallFacts, choose
from openautoglm.ops.kernel import Capability, Kernel
from openautoglm.ops.machine import Machine

if TYPE_CHECKING:
    from random import Random

    from openautoglm.ops.choose import Arrays

X86_V3 = Machine(
    arch="x86_64", isa=frozenset({"x86-64", "x86-64-v2", "x86-64-v3"}), cuda=((8, 0), (9, 0))
)
ARM = Machine(arch="aarch64", isa=frozenset({"neon"}))
CALL = CallFacts(device="cpu", inputs=("x", "y"), dtypes=("f32", "f32"), arguments=(1, 2, 0.5))
ON_CUDA = replace(CALL, device="cuda")


def kernel(name: object = "fast", **settings: object) -> Kernel:
    return Kernel(**{"name": name, "op": "mul", "function": print, **settings})  # type: ignore[arg-type] # any of its fields


def failing(*_arguments: object) -> bool:
    raise ZeroDivisionError("by zero")


@pytest.mark.parametrize(
    ("settings", "facts", "machine", "reason"),
    [
        ({"device": "cuda"}, CALL, X86_V3, "cuda kernel, the call is on cpu"),
        ({"device": "cpu"}, ON_CUDA, X86_V3, "cpu kernel, the call is on cuda"),
        ({"dtypes": ("f16", "bf16")}, CALL, X86_V3, "takes f16 and bf16, x is f32"),
        ({"dtypes": {"y": ("f64",)}}, CALL, X86_V3, "takes f64, y is f32"),
        (
            {"capability": Capability(isa="x86-64-v4")},
            CALL,
            X86_V3,
            "needs x86-64-v4, this machine has x86-64-v3",
        ),
        (
            {"capability": Capability(isa="avx512_vnni")},
            CALL,
            X86_V3,
            "needs avx512_vnni, which this machine lacks",
        ),
        (
            {"capability": Capability(isa="neon")},
            CALL,
            X86_V3,
            "needs neon, this machine has x86-64-v3",
        ),
        (
            {"capability": Capability(isa="x86-64-v2")},
            CALL,
            ARM,
            "needs x86-64-v2, this machine has aarch64",
        ),
        (
            {"capability": Capability(min=(9, 0))},
            ON_CUDA,
            X86_V3,
            "needs sm_90 or newer, this device has sm_80",
        ),
        (
            {"capability": Capability(max=(8, 6))},
            replace(ON_CUDA, index=1),
            X86_V3,
            "needs sm_86 or older, this device has sm_90",
        ),
        (
            {"capability": Capability(min=(8, 6), max=(8, 9))},
            ON_CUDA,
            X86_V3,
            "needs sm_86 to sm_89, this device has sm_80",
        ),
        (
            {"capability": Capability(min=(8, 6), max=(8, 6))},
            ON_CUDA,
            ARM,
            "needs sm_86, no CUDA device 0 was found",
        ),
        (
            {"language": "torch"},
            replace(CALL, arrays="numpy"),
            X86_V3,
            "expects torch tensors, the call has numpy arrays",
        ),
        (
            {"language": "triton", "device": "cuda"},
            replace(ON_CUDA, arrays="cupy"),
            X86_V3,
            "expects torch tensors, the call has cupy arrays",
        ),
        ({"when": lambda x, y, scale: x + y < scale}, CALL, X86_V3, "predicate said no"),
        ({"when": failing}, CALL, X86_V3, "predicate raised ZeroDivisionError: by zero"),
        ({"when": failing}, replace(CALL, arguments=None), X86_V3, UNASKED),
    ],
)
def test_a_kernel_that_does_not_fit_says_why(
    settings: dict[str, object], facts: CallFacts, machine: Machine, reason: str
) -> None:
    choice = choose([kernel(**settings)], facts, machine)
    assert choice.winner is None
    assert [refusal.reason for refusal in choice.refusals] == [reason]


@pytest.mark.parametrize(
    ("settings", "facts"),
    [
        ({}, CALL),
        ({"device": "cpu", "dtypes": ("f32",)}, CALL),
        ({"dtypes": {"y": ("f64",)}}, replace(CALL, dtypes=("f32", None))),
        ({"capability": Capability(isa="x86-64-v3")}, CALL),
        ({"capability": Capability(min=(9, 0))}, replace(ON_CUDA, index=1)),
        ({"capability": Capability(min=(8, 0), max=(8, 9))}, ON_CUDA),
        ({"capability": Capability(min=(9, 0))}, CALL),  # asks nothing of a processor
        ({"when": lambda x, y, scale: x + y > scale}, CALL),
    ],
)
def test_a_kernel_that_fits_serves_the_call(settings: dict[str, object], facts: CallFacts) -> None:
    fast = kernel(**settings)
    assert choose([fast], facts, X86_V3).winner is fast


@pytest.mark.parametrize("arrays", ["torch", "numpy", "cupy", "jax", "dlpack"])
@pytest.mark.parametrize("language", ["python", "numpy", "cpp", "c", "cuda"])
def test_only_torchs_own_languages_care_whose_arrays_they_are(
    arrays: Arrays, language: str
) -> None:
    choice = choose([kernel(language=language)], replace(CALL, arrays=arrays), X86_V3)
    assert choice.winner is not None


@pytest.mark.parametrize(
    ("winner", "loser", "prefer", "reason"),
    [
        ({"priority": 2}, {"priority": 1}, (), "lower priority than `w`"),
        ({"priority": 0}, {"priority": 9}, ("w",), "`w` is preferred"),
        ({"library": "lib"}, {"priority": 9}, ("lib",), "`w` is preferred"),
        ({}, {"priority": 9}, ("absent", "w", "b"), "`w` is preferred"),
        ({"language": "cpp"}, {}, (), "same priority as `w`, which is native"),
        ({"language": "c"}, {"language": "triton"}, (), "same priority as `w`, which is native"),
        ({}, {"name": "x"}, (), "same priority as `w`, which is first by name"),
        (
            {"generation": 2},
            {"name": "w", "generation": 1},
            (),
            "same priority and name as `w`, which is of a newer generation",
        ),
    ],
)
def test_of_two_that_fit_one_is_behind_for_a_reason(
    winner: dict[str, object], loser: dict[str, object], prefer: tuple[str, ...], reason: str
) -> None:
    first, second = kernel("w", **winner), kernel(**{"name": "b", **loser})
    for kernels in ([first, second], [second, first]):
        choice = choose(kernels, CALL, X86_V3, prefer)
        assert choice.winner is first
        assert [(r.kernel, r.reason) for r in choice.refusals] == [(second, reason)]


def test_a_preferred_kernel_that_does_not_fit_is_passed_over() -> None:
    fast, slow = kernel("fast", device="cuda"), kernel("slow")
    choice = choose([fast, slow], CALL, X86_V3, prefer=("fast",))
    assert choice.winner is slow
    assert choice.refusals[0].reason == "cuda kernel, the call is on cpu"


def test_a_kernel_that_wants_contiguous_inputs_wins_and_says_that_it_copies() -> None:
    dense = kernel(contiguous=True)
    assert choose([dense], replace(CALL, contiguous=False), X86_V3).copies
    assert not choose([dense], CALL, X86_V3).copies
    assert not choose([kernel()], replace(CALL, contiguous=False), X86_V3).copies


def test_a_predicate_that_could_not_be_asked_before_the_winner_is_reported() -> None:
    table_time = replace(CALL, arguments=None)
    asking, plain = kernel("asking", when=failing, priority=1), kernel("plain")
    assert choose([asking, plain], table_time, X86_V3).depends_on_arguments
    assert choose([asking, plain], table_time, X86_V3).winner is plain
    behind = replace(asking, priority=-1)
    assert not choose([behind, plain], table_time, X86_V3).depends_on_arguments
    elsewhere = replace(asking, device="cuda")
    assert not choose([elsewhere, plain], table_time, X86_V3).depends_on_arguments


KERNELS = st.lists(
    st.builds(
        kernel,
        st.sampled_from(["a", "b", "c", "d"]),
        device=st.sampled_from([None, "cpu", "cuda"]),
        priority=st.integers(-2, 2),
        language=st.sampled_from(["python", "cpp", "torch"]),
        dtypes=st.sampled_from([None, ("f16",), ("f32", "f64")]),
    ),
    max_size=6,
)


@given(KERNELS, st.lists(st.sampled_from(["a", "b", "z"]), max_size=3), st.randoms())
def test_every_kernel_wins_or_has_a_reason_in_whatever_order_they_come(
    kernels: list[Kernel], prefer: list[str], random: Random
) -> None:
    choice = choose(kernels, CALL, X86_V3, prefer)
    shuffled = list(kernels)
    random.shuffle(shuffled)
    again = choose(shuffled, CALL, X86_V3, prefer)
    assert (again.winner is None) == (choice.winner is None)
    if choice.winner is not None and again.winner is not None:
        assert again.winner.name == choice.winner.name
    assert len(choice.refusals) + (choice.winner is not None) == len(kernels)
    assert all(refusal.reason for refusal in choice.refusals)
