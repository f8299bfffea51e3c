"""llama.cpp's C API, as llama-cpp-python brings it, and where its log goes.

Owns loading the library and its log, which goes to the logger `openautoglm.gguf` and nowhere else.
Knows nothing of models.
"""

from __future__ import annotations

import ctypes
import logging
from collections import deque
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from openautoglm.errors import BackendUnavailableError
from openautoglm.settings import need

if TYPE_CHECKING:
    from types import ModuleType

_log: Final = logging.getLogger("openautoglm.gguf")
_log.addHandler(logging.NullHandler())  # who set up no logging is not told on stderr
LEVELS: Final = {2: logging.INFO, 3: logging.WARNING, 4: logging.ERROR}
"""ggml's level to that of `logging`; whatever else there is, is for its developers."""
SAID: Final[deque[str]] = deque(maxlen=4)
"""The last errors that llama.cpp reported: it returns no more than that there was one."""
_kept: Final[list[object]] = []


@cache
def llama() -> ModuleType:
    """Return the library, ready.

    Raises:
        MissingExtraError: llama-cpp-python is not installed.
        BackendUnavailableError: it is, and cannot be loaded.
    """
    try:
        found = need("llama_cpp", extra="gguf", why="running a GGUF file")
    except (OSError, RuntimeError) as cause:
        raise BackendUnavailableError(
            "llama.cpp's library cannot be loaded",
            got=str(cause),
            fix="build it for this machine: pip install --force-reinstall --no-binary :all: "
            "llama-cpp-python",
        ) from cause
    listener = found.llama_log_callback(_listen)
    _kept.append(listener)  # the library calls it for as long as the process lives
    found.llama_log_set(listener, ctypes.c_void_p(0))
    found.llama_backend_init()
    return found


def said() -> str:
    """Return the last errors that llama.cpp reported, and forget them."""
    text = "; ".join(SAID)
    SAID.clear()
    return text


def _listen(level: int, text: bytes, _: Any) -> None:  # noqa: ANN401 - a pointer of ctypes
    line = text.decode("utf-8", "replace").strip()
    if level == 4:  # noqa: PLR2004 - GGML_LOG_LEVEL_ERROR, as in LEVELS
        SAID.append(line)
    _log.log(LEVELS.get(level, logging.DEBUG), "%s", line)
