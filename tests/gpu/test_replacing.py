"""Replacing CUDA kernels: seen at once, never by a captured graph, not under a launch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from openautoglm import ops

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from openautoglm.ops.loading import LoadedLibrary
    from openautoglm.ops.registered import RegisteredOperator

    Build = Callable[[float], Path]

LONG = 200_000_000


@pytest.fixture
def builds(build_shifted: Build) -> tuple[Path, Path]:
    """Two builds of one operator that tell themselves apart."""
    return build_shifted(1.0), build_shifted(2.0)


@pytest.fixture
def library(builds: tuple[Path, Path]) -> Iterator[LoadedLibrary]:
    """The first build, loaded."""
    loaded = ops.load_library(builds[0], name="shifted_library")
    yield loaded
    loaded.unload()


@pytest.fixture
def shifted(library: LoadedLibrary) -> RegisteredOperator:
    """Its operator."""
    return ops.get(library.operators[0])


def test_a_swap_is_seen_by_eager_and_compiled_calls(
    library: LoadedLibrary, shifted: RegisteredOperator, builds: tuple[Path, Path]
) -> None:
    x = torch.zeros(1000, device="cuda")
    torch._dynamo.reset()
    graph = torch.compile(lambda t: shifted(t) * 10, fullgraph=True)
    assert (shifted(x)[7].item(), graph(x)[7].item()) == (1.0, 10.0)
    library.swap(builds[1])
    assert (shifted(x)[7].item(), graph(x)[7].item()) == (2.0, 20.0)
    library.rollback()
    assert (shifted(x)[7].item(), graph(x)[7].item()) == (1.0, 10.0)


def test_a_captured_graph_keeps_the_kernel_it_captured(
    build_shifted: Build, builds: tuple[Path, Path]
) -> None:
    library = ops.load_library(builds[0], name="captured_library")
    shifted = ops.get(library.operators[0])
    x = torch.zeros(1000, device="cuda")
    shifted(x)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        out = shifted(x)
    library.swap(builds[1])
    for shift in (3.0, 4.0):  # the first build is not even the one to roll back to
        library.swap(build_shifted(shift))
    x.fill_(10.0)
    graph.replay()
    torch.cuda.synchronize()
    assert out[999].item() == 11.0
    assert shifted(x)[0].item() == 14.0
    del shifted
    library.unload()
    x.fill_(20.0)
    graph.replay()
    torch.cuda.synchronize()
    assert out[0].item() == 21.0


def test_a_launch_under_way_survives_its_library(builds: tuple[Path, Path]) -> None:
    library = ops.load_library(builds[0], name="leaving_library")
    x = torch.zeros(1 << 20, device="cuda")
    shifted = ops.get(library.operators[0])
    shifted(x)
    torch.cuda.synchronize()
    torch.cuda._sleep(LONG)
    out = shifted(x)
    del shifted
    library.unload()
    torch.cuda.synchronize()
    assert torch.equal(out, torch.ones_like(x))


def test_a_captured_graph_follows_its_inputs_through_many_replays() -> None:
    rms_norm = ops.get("rms_norm")
    x = torch.randn(64, 512, device="cuda")
    weight = torch.randn(512, device="cuda")
    rms_norm(x, weight)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        out = rms_norm(x, weight)
    for _ in range(5):
        x.normal_()
        graph.replay()
        torch.testing.assert_close(out, torch.nn.functional.rms_norm(x, (512,), weight, 1e-6))
