"""Names of the built-in steps. Loaded at the first look into `STEPS`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from openautoglm.pipeline.steps.clean import Clean
from openautoglm.pipeline.steps.generate import Generate
from openautoglm.pipeline.steps.merge import Merge
from openautoglm.pipeline.steps.needs_cleaning import NeedsCleaning
from openautoglm.pipeline.steps.parse import Parse
from openautoglm.pipeline.steps.render import Render
from openautoglm.pipeline.steps.segment import SegmentText

if TYPE_CHECKING:
    from openautoglm.pipeline.step import Step

BUILTIN: Final[dict[str, type[Step]]] = {
    "model.generate": Generate,
    "output.merge": Merge,
    "output.parse": Parse,
    "prompt.render": Render,
    "text.clean": Clean,
    "text.needs_cleaning": NeedsCleaning,
    "text.segment": SegmentText,
}
