"""The steps a pipeline may name and the tasks that come with the package.

Owns `STEPS` and `TASKS`. Knows nothing of graphs.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from openautoglm.registry import Registry

if TYPE_CHECKING:
    import os
    from importlib.resources.abc import Traversable

    from openautoglm.pipeline.step import Step


def _add_steps(registry: Registry[type[Step]]) -> None:
    from openautoglm.pipeline.steps.builtin import BUILTIN

    for name, step in BUILTIN.items():
        registry.add(name, step)


def _add_tasks(registry: Registry[Traversable]) -> None:
    for task in files("openautoglm.pipeline").joinpath("tasks").iterdir():
        if task.name.endswith(".yaml"):
            registry.add(task.name.removesuffix(".yaml"), task)


STEPS: Registry[type[Step]] = Registry("step", builtins=_add_steps, point="step")
TASKS: Registry[Traversable] = Registry("task", builtins=_add_tasks, point="task")


def task_text(task: str | os.PathLike[str]) -> str | None:
    """Return the YAML of a task, or None for what is a path.

    Raises:
        UnknownNameError: neither a task nor a path.
    """
    if not isinstance(task, str) or task.endswith((".yaml", ".yml")) or len(Path(task).parts) != 1:
        return None
    return TASKS.get(task).read_text(encoding="utf-8")
