"""The suites over operators and kernels of plugins, here and in a worker, good and broken."""

# ruff: noqa: ANN401 - arrays of any library
from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from openautoglm import ops
from openautoglm.errors import (
    NameTakenError,
    NoOwnerError,
    OperatorDefinitionError,
    PluginContributionError,
    UnknownNameError,
)
from openautoglm.ops import Kernel, Operator, catalog
from openautoglm.plugins.kernels import KERNELS
from openautoglm.plugins.operators import OPERATORS, remote_operator
from openautoglm.plugins.points import POINTS
from openautoglm.registry import owned_by
from openautoglm.testing import LocalRemote, prove

ROOT = Path(__file__).parents[3]
QUICK = {"profile": "quick", "dtypes": ["f32"], "grad": False}


class Named:
    contract = 1

    def __init__(self, point: str, name: str) -> None:
        self.point = point
        self.name = name


class Twice(Operator):
    """Twice as much."""

    name = "acme_twice"

    def forward(self, x: Any, by: float = 2.0) -> Any:
        return x * by


class Sloppy(Operator):
    name = "acme_sloppy"
    outputs = (ops.Out("out", shape=("n", "n")),)
    inputs = (ops.In("x", shape=("n", "m")),)

    def forward(self, x: Any) -> Any:
        return x


class Random(Operator):
    name = "acme_random"

    def forward(self, x: Any) -> Any:
        return x * 0 + np.random.default_rng().random()


def add_exactly(x: Any, y: Any, alpha: float, *, out: Any) -> None:
    out[...] = x + alpha * y


def add_wrongly(x: Any, y: Any, alpha: float, *, out: Any) -> None:
    out[...] = x - alpha * y


def add_and_spoil(x: Any, y: Any, alpha: float, *, out: Any) -> None:
    out[...] = x + alpha * y
    if x.size and x.flags.writeable:
        x[...] = 0


def kernel(function: Any) -> Kernel:
    return Kernel(name="fast", op="add", function=function, device="cpu", language="numpy")


@pytest.mark.slow
def test_a_good_operator_of_a_plugin_passes_and_leaves_nothing() -> None:
    findings = prove("operator", Twice, name="acme_twice", **QUICK)
    rows = {finding.row for finding in findings if finding.status == "pass"}
    assert {"operator.reference", "operator.values"} <= rows
    assert "acme_twice" not in ops.names()


@pytest.mark.parametrize(
    ("operator", "row"), [(Sloppy, "operator.shape"), (Random, "operator.determinism")]
)
def test_a_broken_operator_is_caught_by_the_row_that_should(
    operator: type[Operator], row: str
) -> None:
    point = POINTS.get("operator")
    made = point.adopted(operator, Named("operator", str(operator.name)))
    failed = {f.row: f for f in point.findings(lambda: made, QUICK) if f.status == "fail"}
    assert row in failed
    assert failed[row].measured
    assert failed[row].fix


@pytest.mark.slow
def test_a_good_kernel_of_a_plugin_passes_and_leaves_nothing() -> None:
    before = ops.get("add").table.kernels
    prove("kernel", kernel(add_exactly), name="acme.fast", **QUICK)
    assert ops.get("add").table.kernels == before
    assert KERNELS.names() == ()


@pytest.mark.parametrize(
    ("function", "row"), [(add_wrongly, "kernel.values"), (add_and_spoil, "kernel.inputs")]
)
def test_a_broken_kernel_is_caught_by_the_row_that_should(function: Any, row: str) -> None:
    point = POINTS.get("kernel")
    made = point.adopted(kernel(function), Named("kernel", "acme.fast"))
    failed = {f.row: f for f in point.findings(lambda: made, QUICK) if f.status == "fail"}
    assert row in failed
    assert failed[row].fix


def test_a_kernel_for_an_operator_there_is_not_is_a_finding() -> None:
    lost = Kernel(name="fast", op="no_such_operator", function=add_exactly)
    (finding,) = POINTS.get("kernel").findings(lambda: lost, QUICK)
    assert finding.row == "kernel.loads"
    assert "no_such_operator" in finding.measured


def test_a_kernel_belongs_to_its_plugin_and_leaves_with_it() -> None:
    before = ops.get("add").table.kernels
    with pytest.raises(NoOwnerError):
        KERNELS.add("acme.fast", kernel(add_exactly))
    with owned_by("acme"):
        KERNELS.add("acme.fast", kernel(add_exactly))
        with pytest.raises(NameTakenError):
            KERNELS.add("acme.fast", kernel(add_exactly))
        with pytest.raises(OperatorDefinitionError):
            KERNELS.add("acme.bad", kernel(print))
    with ops.get("add").prefer("acme.fast"):
        assert ops.get("add").explain(np.ones(2), np.ones(2)).winner == "acme.fast"
    assert KERNELS.revoke("acme") == ("acme.fast",)
    assert ops.get("add").table.kernels == before
    with pytest.raises(UnknownNameError):
        KERNELS.get("acme.fast")


def test_an_operator_that_registered_itself_is_taken_as_it_is() -> None:
    with owned_by("acme"):
        made = ops.register(Twice)
        adopted = POINTS.get("operator").adopted(made, Named("operator", "acme_twice"))
        OPERATORS.add("acme_twice", adopted)  # type: ignore[arg-type]  # adopted is any value
    with owned_by("other"), pytest.raises(NameTakenError):
        OPERATORS.add("acme_twice", made)
    assert OPERATORS.revoke("acme") == ("acme_twice",)
    assert "acme_twice" not in ops.names()


def served() -> list[tuple[str, str]]:
    return sorted((n, k.name) for n in ops.names() for k in catalog.get(n).table.kernels)


@pytest.mark.parametrize("point", ["operator", "kernel"])
def test_a_library_is_loaded_for_its_plugin_and_leaves_with_it(point: str) -> None:
    folder = ROOT / "plugins/ops/plain-c"
    name = "negate" if point == "operator" else "acme.plain"
    entries = POINTS.get(point).entries()
    value = POINTS.get(point).adopted(folder, Named(point, name))
    before = served()
    with owned_by("acme"):
        entries.add(name, value)
    try:
        assert entries.get(name)
        assert served() != before
    finally:
        entries.revoke("acme")
    assert served() == before
    assert KERNELS.names() == ()


def test_a_library_that_does_not_state_the_operator_is_refused_whole() -> None:
    with owned_by("acme"), pytest.raises(PluginContributionError, match="does not state it"):
        OPERATORS.add("acme_other", ROOT / "plugins/ops/plain-c")
    assert KERNELS.names() == ()


@pytest.mark.parametrize("value", [None, "text", int, Operator])
def test_what_is_no_operator_is_not_adopted(value: object) -> None:
    with pytest.raises((PluginContributionError, OperatorDefinitionError)):
        POINTS.get("operator").adopted(value, Named("operator", "x"))
    with pytest.raises(PluginContributionError):
        POINTS.get("kernel").adopted(value, Named("kernel", "x"))


def test_an_operator_has_the_name_the_manifest_says() -> None:
    with pytest.raises(PluginContributionError, match="calls itself `acme_twice`"):
        POINTS.get("operator").adopted(Twice, Named("operator", "twice"))
    remote = LocalRemote("operator", ops.get("add"))
    with pytest.raises(PluginContributionError, match="calls itself `add`"):
        remote_operator(remote, Named("operator", "plus"))


class Top(Operator):
    """Several outputs, and shapes that no rule says."""

    name = "acme_top"
    outputs = (ops.Out("values"), ops.Out("places"))

    @staticmethod
    def infer(specs: Any, attrs: Any) -> Any:  # type: ignore[override]  # a function of the class
        (x,) = specs
        shape = (*x.shape[:-1], min(attrs["count"], x.shape[-1]))
        return [ops.ArraySpec(shape, x.dtype, x.device), ops.ArraySpec(shape, "i64", x.device)]

    def forward(self, x: Any, count: int = 2) -> Any:
        places = np.argsort(-x, axis=-1, kind="stable")[..., :count]
        return np.take_along_axis(x, places, axis=-1), places


def test_an_operator_in_a_worker_is_called_like_any_other() -> None:
    point = POINTS.get("operator")
    for written in (Twice, Top):
        name = str(written.name)
        adopted = point.adopted(written, Named("operator", name))
        remote = LocalRemote("operator", adopted)
        far: Any = point.adapted(remote, Named("operator", name))
        x = np.array([[3, 1, 2], [6, 5, 4]], dtype=np.float32)
        near: Any = adopted
        for one, other in zip(np.atleast_1d(far(x)), np.atleast_1d(near(x)), strict=True):
            np.testing.assert_array_equal(one, other)
        assert far.opdef.declaration() == near.opdef.declaration()
        assert "run" in remote.calls
    assert "infer" in remote.calls


@pytest.mark.slow
def test_an_operator_in_a_worker_keeps_the_contract() -> None:
    point = POINTS.get("operator")
    adopted = point.adopted(Twice, Named("operator", "acme_twice"))
    far = point.adapted(LocalRemote("operator", adopted), Named("operator", "acme_twice"))
    prove("operator", far, name="acme_twice", **QUICK)


class Joined(Operator):
    """A list of arrays, an absent one, and shapes that no rule says."""

    name = "acme_joined"
    inputs = (ops.In("xs", many=True), ops.In("last", optional=True))

    @staticmethod
    def infer(specs: Any, attrs: Any) -> Any:  # type: ignore[override]  # a function of the class
        del attrs
        xs, last = specs
        parts = [*xs, last] if last is not None else list(xs)
        return ops.ArraySpec((sum(p.shape[0] for p in parts),), xs[0].dtype, xs[0].device)

    def forward(self, xs: Any, last: Any = None) -> Any:
        return np.concatenate([*xs, last] if last is not None else list(xs))


def test_lists_and_absent_arrays_go_to_an_operator_in_a_worker() -> None:
    point = POINTS.get("operator")
    near: Any = point.adopted(Joined, Named("operator", "acme_joined"))
    far: Any = point.adapted(LocalRemote("operator", near), Named("operator", "acme_joined"))
    xs = [np.ones(2, np.float32), np.zeros(3, np.float32)]
    np.testing.assert_array_equal(far(xs), near(xs))
    np.testing.assert_array_equal(far(xs, np.ones(1, np.float32)), [1, 1, 0, 0, 0, 1])


def test_single_entries_are_found_and_removed_by_name() -> None:
    with owned_by("acme"):
        KERNELS.add("acme.fast", kernel(add_exactly))
        OPERATORS.add("acme_twice", POINTS.get("operator").adopted(Twice, Named("o", "acme_twice")))  # type: ignore[arg-type]  # any value
        OPERATORS.add("negate", ROOT / "plugins/ops/plain-c")
        with pytest.raises(NameTakenError):
            OPERATORS.add("negate", ROOT / "plugins/ops/plain-c")
    assert KERNELS.get("acme.fast") == KERNELS.remove("acme.fast")
    assert OPERATORS.get("acme_twice") is OPERATORS.remove("acme_twice")
    OPERATORS.remove("negate")
    assert KERNELS.names() == ()
    assert not {"negate", "acme_twice"} & set(OPERATORS.names())
