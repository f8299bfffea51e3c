"""Steps and tasks as contributions: what a plugin's object must be to become one.

Knows nothing of how a plugin is loaded.
"""

from __future__ import annotations

from importlib.resources.abc import Traversable
from typing import TYPE_CHECKING

from openautoglm.errors import PluginContributionError
from openautoglm.pipeline.step import Step

if TYPE_CHECKING:
    from openautoglm.plugins.points import Contribution


def adopt_step(value: object, contribution: Contribution) -> type[Step]:
    """Return a step's class.

    Raises:
        PluginContributionError: the value is no class of a step, or one that does nothing.
    """
    where = f"step `{contribution.name}`"
    if not isinstance(value, type) or not issubclass(value, Step):
        raise PluginContributionError(
            f"{where} is a subclass of `pipeline.step.Step`",
            got=repr(value)[:200],
            fix="write `class Name(Step, frozen=True):` with `outputs` and `run`",
        )
    if value.run is Step.run:
        raise PluginContributionError(
            f"{where} has no `run`",
            got=value.__qualname__,
            fix="write `def run(self, *, text: str) -> Mapping[str, object]`",
        )
    if not value.outputs or not all(isinstance(name, str) for name in value.outputs):
        raise PluginContributionError(
            f"{where} declares no outputs",
            got=repr(value.outputs)[:200],
            fix='write `outputs = {"text": "what it is"}` with a ClassVar annotation',
        )
    return value


def adopt_task(value: object, contribution: Contribution) -> Traversable:
    """Return the file of a task.

    Raises:
        PluginContributionError: the value is no file that ends in .yaml.
    """
    if isinstance(value, Traversable) and value.is_file() and value.name.endswith(".yaml"):
        return value
    raise PluginContributionError(
        f"task `{contribution.name}` is a YAML file of a pipeline",
        got=repr(value)[:200],
        fix='put it into the package and name it: sources = "tasks/extract.yaml"',
    )
