"""`oag models kernels` tells what serves each layer, plugins' kernels among them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from openautoglm import ops
from openautoglm.cli.models import models
from openautoglm.cli.models_kernels import _layers

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def told(*args: str) -> str:
    result = CliRunner().invoke(models, ["kernels", *args], catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


def test_every_operator_has_a_line_and_the_shares_make_up_the_whole(
    tiny_model: Callable[..., Path],
) -> None:
    head, *lines = told(str(tiny_model()), "--mode", "int8").splitlines()
    assert head.split() == ["operator", "kernel", "layers", "share", "of", "the", "time"]
    operators = {line.split()[0] for line in lines}
    assert operators >= {"linear_int8", "attention_bf16", "rms_norm", "rope", "silu_gated", "store"}
    assert sum(float(line.split()[-1].rstrip("%")) for line in lines) == pytest.approx(100, abs=1)


def test_modules_of_another_backend_are_told_with_the_reason(
    tiny_model: Callable[..., Path],
) -> None:
    lines = told(str(tiny_model()), "--backend", "transformers").splitlines()
    assert any(line.startswith("5 x model.") or "RMSNorm" in line for line in lines)
    assert all(": " in line for line in lines)
    rows = json.loads(told(str(tiny_model()), "--backend", "transformers", "--json"))
    assert len(rows) == len(lines)


def test_a_kernel_that_was_added_is_told_with_its_layers(tiny_model: Callable[..., Path]) -> None:
    gated = ops.get("silu_gated")

    @gated.kernel("mine", device="cpu", priority=50)
    def mine(x: Any, *, out: Any) -> None:  # noqa: ANN401 - arrays
        out[...] = x[..., 0, :] / (1 + 2.718281828459045 ** -x[..., 0, :]) * x[..., 1, :]

    try:
        found = json.loads(told(str(tiny_model()), "--json"))
    finally:
        gated.remove_kernel("mine")
    served = {(one["layer"], one["kernel"]) for one in found if one["operator"] == "silu_gated"}
    assert {kernel for _, kernel in served} == {"mine"}
    assert {layer for layer, _ in served} == set(range(len(served)))


@pytest.mark.parametrize(
    ("numbers", "text"),
    [([0], "0"), ([-1, 0, 1, 2], "outside, 0-2"), ([0, 2, 3, 7], "0, 2-3, 7"), ([-1], "outside")],
)
def test_layers_are_written_as_a_person_does(numbers: list[int], text: str) -> None:
    assert _layers(numbers) == text
