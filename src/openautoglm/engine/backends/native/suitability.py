"""Whether this backend can run a model, found out without loading it.

Owns `why_not`. Imports nothing heavy before it knows that it is worth it.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

from openautoglm.errors import OpenAutoGLMError
from openautoglm.native.cells import unavailable
from openautoglm.ops.gpus import compute_capabilities

if TYPE_CHECKING:
    from openautoglm.engine.backend import LoadSpec

NEEDED: Final = ("numpy", "tokenizers", "psutil", "jinja2")
DTYPES: Final = ("auto", "float32", "bfloat16")


def why_not(spec: LoadSpec) -> str | None:
    """Return why the model of a spec cannot be run here by our own operators, None if it can.

    Args:
        spec: its model is a folder.
    """
    return _wrong_machine(spec) or _wrong_folder(Path(spec.model or "").expanduser())


def _wrong_machine(spec: LoadSpec) -> str | None:
    if spec.device != "cpu" and (spec.device != "auto" or compute_capabilities()):
        return "it computes on the CPU"
    if spec.dtype not in DTYPES:
        return f"it has no dtype {spec.dtype}"
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        return f"it needs {', '.join(missing)}"
    reason = unavailable()
    return None if reason is None else f"its operators are not here: {reason}"


def _wrong_folder(folder: Path) -> str | None:
    from openautoglm.engine.backends.native.model.model import read_architecture

    try:
        read_architecture(folder)
    except OpenAutoGLMError as error:
        return f"{error.problem} ({error.got})" if error.got else error.problem
    has_file = (folder / "tokenizer.json").is_file()
    return None if has_file else "the folder has no tokenizer.json"
