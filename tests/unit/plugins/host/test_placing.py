"""Where a contribution runs at a level."""

from __future__ import annotations

import pytest

from openautoglm.errors import PluginUnavailableError
from openautoglm.plugins.host.placing import place_of, point_of
from openautoglm.plugins.manifest import Provides


def kernels() -> Provides:
    return Provides(point="operator", contract=1, name="acme.add", sources="native")


def test_a_library_of_kernels_runs_in_the_hosts_process_or_not_at_all() -> None:
    assert place_of(kernels(), point_of(kernels()), "L0") == "host"
    for level in ("L1", "L2"):
        with pytest.raises(PluginUnavailableError, match="in the host's process or not at all"):
            place_of(kernels(), point_of(kernels()), level)


def test_a_pipeline_in_yaml_is_taken_as_it_is_and_a_step_runs_in_a_worker() -> None:
    task = Provides(point="task", contract=1, name="acme.ask", sources="ask.yaml")
    step = Provides(point="step", contract=1, name="acme.upper", object="acme_upper:Upper")
    assert place_of(task, point_of(task), "L2") == "file"
    assert place_of(step, point_of(step), "L2") == "worker"
