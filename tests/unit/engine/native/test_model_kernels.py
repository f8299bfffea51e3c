"""Kernels replaced in a model that decodes, memory given back, weights lent to a worker."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from openautoglm import ops
from openautoglm.engine.backends.native.model.model import TIMED_EVERY, Model
from openautoglm.engine.backends.native.weights.files import widened
from openautoglm.errors import BackendUnavailableError, KernelFailedError, OperatorArgumentError
from openautoglm.registry import owned_by
from openautoglm.testing.lora_adapter import save_adapter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from openautoglm.engine.backends.native.weights.convert import Mode

    Floats = np.ndarray[Any, np.dtype[np.float32]]
    TinyModel = Callable[..., Path]


@contextmanager
def served(operator: str, calls: list[int]) -> Iterator[None]:
    """Let a kernel in Python serve an operator; it computes what the reference says."""
    found = ops.get(operator)
    reference = found.opdef.reference

    def kernel(*arguments: Any, out: Any) -> None:  # noqa: ANN401 - arrays
        calls.append(len(arguments[0]))
        values = [
            widened(a, is_bf16=True) if getattr(a, "dtype", None) == np.uint16 else a
            for a in arguments
        ]
        assert reference is not None
        out[...] = reference(*values)

    with owned_by("tests"):
        found.kernel("in_python", device="cpu", priority=50_000)(kernel)
    try:
        yield
    finally:
        found.remove_kernel("in_python")


def make(tiny_model: TinyModel, mode: Mode = "fp32", family: str = "qwen2", **sizes: int) -> Model:
    return Model(tiny_model(family), mode, **{"slots": 3, "rows": 32, **sizes})


def step(model: Model, token: int, position: int) -> Floats:
    one = np.ones(1, np.int64)
    logits = model.forward(one * token, 0 * one, one * position, 0 * one).copy()
    return logits.reshape(-1)


@pytest.mark.parametrize(
    ("operator", "mode"),
    [
        ("linear_int8", "int8"),
        ("linear_int4", "int4"),
        ("linear", "fp32"),
        ("linear_bf16", "bf16"),
        ("attention_bf16", "int8"),
        ("attention", "fp32"),
        ("rms_norm", "fp32"),
        ("rope", "fp32"),
        ("embedding", "fp32"),
        ("silu_gated", "fp32"),
    ],
)
def test_a_kernel_in_python_serves_the_next_step_and_none_after_it_is_removed(
    tiny_model: TinyModel, operator: str, mode: Mode
) -> None:
    model, again = make(tiny_model, mode), make(tiny_model, mode)
    native = [step(again, 5 + i, i) for i in range(9)]
    calls: list[int] = []
    mixed = [step(model, 5 + i, i) for i in range(3)]
    assert not calls
    with served(operator, calls):
        mixed += [step(model, 5 + i, i) for i in range(3, 6)]
        assert len(calls) >= 6
        assert any(k.kernel == "in_python" for k in model.kernels() if k.operator == operator)
    seen = len(calls)
    mixed += [step(model, 5 + i, i) for i in range(6, 9)]
    assert len(calls) == seen
    assert not any(k.kernel == "in_python" for k in model.kernels())
    assert np.array_equal(mixed[:3], native[:3])
    assert np.allclose(mixed, native, atol=2e-4)


def test_rows_that_get_no_logits_end_with_the_keys_and_values_of_the_last_layer(
    tiny_model: TinyModel,
) -> None:
    model = make(tiny_model)
    calls: list[int] = []
    tokens, last = np.arange(5, 12), np.array([2, 6])
    with served("silu_gated", calls):
        model.forward(tokens, 0 * tokens, np.arange(7), last)
    layers = model.architecture.layers
    assert calls == [7] * (layers - 1) + [2]


def test_a_kernel_that_raises_fails_the_step_and_the_next_one_is_right(
    tiny_model: TinyModel,
) -> None:
    model, again = make(tiny_model), make(tiny_model)
    step(model, 5, 0)

    def broken(*arguments: object, out: object) -> None:
        raise ValueError(len(arguments), out)

    with owned_by("tests"):
        ops.get("attention").kernel("broken", device="cpu", priority=50_000)(broken)
    try:
        with pytest.raises(KernelFailedError, match="broken"):
            step(model, 6, 1)
    finally:
        ops.get("attention").remove_kernel("broken")
    step(again, 5, 0)
    assert np.array_equal(step(model, 6, 1), step(again, 6, 1))


def test_an_operator_that_is_replaced_serves_the_next_step_until_it_is_rolled_back(
    tiny_model: TinyModel, tmp_path: Path
) -> None:
    model, again = make(tiny_model), make(tiny_model)
    kept = model.load_adapter(1, save_adapter(tiny_model("qwen2"), tmp_path))
    native = [step(again, 5 + i, i) for i in range(4)]
    found = [step(model, 5, 0)]
    gated = ops.get("silu_gated")
    calls: list[int] = []

    def reference(x: Any) -> Any:  # noqa: ANN401 - an array
        calls.append(len(x))
        return 0 * x[..., 0, :]

    ops.replace(replace(gated.opdef, reference=reference))
    try:
        without = step(model, 6, 1)
        assert len(calls) == model.architecture.layers
        row = np.zeros(1, np.int64)
        model.forward(row + 6, row, row + 1, row, row + kept.number)
        assert len(calls) == 2 * model.architecture.layers
    finally:
        ops.rollback("silu_gated")
    assert not np.allclose(without, native[1], atol=1e-2)
    found += [step(model, 5 + i, i) for i in range(1, 4)]
    assert len(calls) == 2 * model.architecture.layers
    assert np.array_equal(found, native)


def test_an_operator_with_other_arguments_fails_the_steps_until_it_is_rolled_back(
    tiny_model: TinyModel,
) -> None:
    model, again = make(tiny_model), make(tiny_model)
    ops.replace(ops.OpDef("rope", inputs=[ops.In("x")], reference=lambda x: x))
    try:
        with pytest.raises(OperatorArgumentError, match="rollback"):
            step(model, 5, 0)
    finally:
        ops.rollback("rope")
    assert np.array_equal(step(model, 5, 0), step(again, 5, 0))


def test_kernels_tell_who_serves_each_layer_and_shares_add_up_to_one(
    tiny_model: TinyModel,
) -> None:
    model = make(tiny_model, family="glm")
    assert {k.share for k in model.kernels()} == {0}
    for i in range(TIMED_EVERY + 2):
        step(model, 5, i)
    rows = model.kernels()
    assert abs(sum(row.share for row in rows) - 1) < 1e-6
    assert {row.layer for row in rows} == {-1, 0, 1}
    by_place = {(row.layer, row.operator): row.kernel for row in rows}
    for operator in ("linear", "attention", "rope", "rms_norm", "silu_gated"):
        assert by_place[0, operator].startswith("native")
    assert by_place[0, "store"] == "core"


def test_a_released_slot_gives_its_memory_back_and_can_be_used_again(
    tiny_model: TinyModel,
) -> None:
    model = make(tiny_model, slots=64, rows=128, context=128)
    rows = np.arange(128)
    fresh = model.forward(rows, 0 * rows, rows, rows[-1:]).copy()
    for slot in range(64):
        model.forward(rows, 0 * rows + slot, rows, rows[-1:])
    before = resident()
    for slot in range(64):
        model.release(slot)
    assert before - resident() > model.cache_bytes * 3 // 4
    assert np.array_equal(model.forward(rows, 0 * rows + 7, rows, rows[-1:]), fresh)


def test_a_large_cache_costs_only_what_is_used(tiny_model: TinyModel) -> None:
    before = resident()
    model = make(tiny_model, slots=200_000, context=128)
    assert model.cache_bytes > 2**32
    step(model, 5, 0)
    assert resident() - before < 2**27


def resident() -> int:
    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123 - no path of ours
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


WORKER = """
import sys
from pathlib import Path
import numpy as np
from openautoglm.engine.backends.native.model.model import Lent, Model
from openautoglm.engine.backends.native.weights.files import widened
from openautoglm.errors import BackendUnavailableError
lent = Lent(folder=Path(sys.argv[1]), mode=sys.argv[2], descriptor=int(sys.argv[3]))
model = Model(lent, slots=1, rows=8)
rows = np.arange(8)
logits = model.forward(rows + 3, 0 * rows, rows, rows)
assert not model._packed.arrays["head.weight"].flags.writeable
try:
    model.lend()
except BackendUnavailableError:
    sys.stdout.buffer.write(logits.tobytes())
assert "torch" not in sys.modules and "transformers" not in sys.modules
"""


@pytest.mark.parametrize("mode", ["fp32", "int8", "int4"])
def test_a_worker_process_runs_the_weights_it_was_lent(tiny_model: TinyModel, mode: Mode) -> None:
    model = make(tiny_model, mode)
    lent = model.lend()
    command = [sys.executable, "-c", WORKER, str(lent.folder), mode, str(lent.descriptor)]
    done = subprocess.run(command, pass_fds=[lent.descriptor], capture_output=True, check=False)
    os.close(lent.descriptor)
    assert done.returncode == 0, done.stderr.decode()
    rows = np.arange(8)
    logits = model.forward(rows + 3, 0 * rows, rows, rows)
    assert done.stdout == logits.tobytes()


def test_without_the_core_the_backend_says_what_is_missing(
    tiny_model: TinyModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAUTOGLM_NATIVE", "0")
    with pytest.raises(BackendUnavailableError, match="compiled core"):
        make(tiny_model)


def test_the_reference_serves_bf16_weights_where_all_else_is_gone(tiny_model: TinyModel) -> None:
    model, again = make(tiny_model, "bf16"), make(tiny_model, "bf16")
    ops.get("linear_bf16").stand("reference")
    try:
        slow = [step(model, 5 + i, i) for i in range(4)]
        assert "reference" in {k.kernel for k in model.kernels() if k.operator == "linear_bf16"}
    finally:
        ops.get("linear_bf16").stand()
    assert np.allclose(slow, [step(again, 5 + i, i) for i in range(4)], atol=2e-4)


@pytest.mark.parametrize(("operator", "mode"), [("linear_bf16", "bf16"), ("linear", "fp32")])
def test_a_preference_of_somebody_else_changes_nothing(
    tiny_model: TinyModel, operator: str, mode: Mode
) -> None:
    model, again = make(tiny_model, mode), make(tiny_model, mode)
    native = [step(again, 5 + i, i) for i in range(4)]
    with ops.get(operator).prefer("native"):
        plain = [step(model, 5 + i, i) for i in range(4)]
    assert np.allclose(plain, native, atol=2e-4)


def test_closing_gives_weights_and_cache_back(tiny_model: TinyModel) -> None:
    model = make(tiny_model, slots=64, rows=128, context=128)
    rows = np.arange(128)
    for slot in range(64):
        model.forward(rows, 0 * rows + slot, rows, rows[-1:])
    before, used = resident(), model.cache_bytes
    model.close()
    assert before - resident() > used * 3 // 4
