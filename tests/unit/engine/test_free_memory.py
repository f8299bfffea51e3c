from __future__ import annotations

import pytest

from openautoglm.engine.memory import _cgroup_free, free_bytes


@pytest.mark.parametrize(
    ("limit", "used", "free"),
    [("100", "30", 70), ("100", "130", 0), ("max", "30", None), ("", "", None)],
)
def test_a_containers_limit_counts_when_there_is_one(
    limit: str, used: str, free: int | None
) -> None:
    files = {"limit": limit, "used": used}
    assert _cgroup_free("limit", "used", files.__getitem__) == free


def test_no_container_is_no_limit() -> None:
    assert _cgroup_free("/nothing/here", "/nothing/there") is None


def test_this_machine_has_some_memory_free() -> None:
    assert free_bytes() > 0
