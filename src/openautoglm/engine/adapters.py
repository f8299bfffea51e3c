"""The adapters of one engine, by the names that callers give them.

Owns `Adapters`. Knows nothing of what is in an adapter's folder, nor of how any backend adds it.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Final, final

from openautoglm.engine.adapter import Adapter
from openautoglm.engine.backend import BACKENDS
from openautoglm.errors import InvalidParameterError
from openautoglm.registry import suggest

if TYPE_CHECKING:
    from openautoglm.engine.loaded import Loaded

_numbers: Final = count(1)


@final
class Adapters:
    """Names of adapters, each loaded beside one model. Safe to use from several threads.

    Args:
        loaded: the model; closed where one of the first adapters cannot be loaded.
        adapters: to load at once: names and folders, or None; errors as `load`.
    """

    def __init__(self, loaded: Loaded, adapters: object = None) -> None:
        self._loaded = loaded
        self._lock = threading.Lock()
        self._adapters: dict[str, Adapter] = {}
        try:
            for name, path in _pairs(adapters).items():
                self.load(name, path)
        except BaseException:
            loaded.close()
            raise

    @property
    def folders(self) -> dict[str, str]:
        """Folders of the adapters, by name."""
        with self._lock:
            return {name: adapter.path for name, adapter in self._adapters.items()}

    def load(self, name: object, path: object) -> None:
        """Load an adapter under a name.

        Raises:
            InvalidParameterError: the name is taken, or one of both is none; the backend takes no
                adapters.
            AdapterError, WeightsCorruptError: it cannot be read, or is not for this model.
        """
        adapter = Adapter(name=_name(name), path=_folder(path), number=next(_numbers))
        self._check_free(adapter.name)
        self._check_taker(adapter.name)
        self._loaded.load_adapter(adapter)
        with self._lock:
            is_ours = self._adapters.setdefault(adapter.name, adapter) is adapter
        if not is_ours:  # another thread was faster
            self._loaded.unload_adapter(adapter)
            self._check_free(adapter.name)

    def unload(self, name: object) -> None:
        """Forget an adapter; what is under way with it goes on to its end.

        Raises:
            InvalidParameterError: there is none of this name.
        """
        adapter = self._found(_name(name))
        with self._lock:
            self._adapters.pop(adapter.name, None)
        self._loaded.unload_adapter(adapter)

    def find(self, name: object) -> Adapter | None:
        """Return the adapter that a call names; None for none.

        Raises:
            InvalidParameterError: there is none of this name, or the backend takes none.
        """
        if name is None:
            return None
        wanted = _name(name)
        self._check_taker(wanted)
        return self._found(wanted)

    def _found(self, name: str) -> Adapter:
        with self._lock:
            known = tuple(sorted(self._adapters))
            adapter = self._adapters.get(name)
        if adapter is None:
            raise InvalidParameterError(
                f"no adapter is called `{name}`",
                got=f"loaded: {', '.join(known) or 'none'}",
                fix=suggest(name, known) or f'call load_adapter("{name}", folder) first',
            )
        return adapter

    def _check_free(self, name: str) -> None:
        with self._lock:
            there = self._adapters.get(name)
        if there is not None:
            raise InvalidParameterError(
                f"an adapter is called `{name}` already",
                got=there.path,
                fix=f'call unload_adapter("{name}") first, or take another name',
            )

    def _check_taker(self, name: str) -> None:
        if self._loaded.takes_adapters:
            return
        known = [key for key in BACKENDS.names() if BACKENDS.get(key).takes_adapters]
        others = ", ".join(f'"{key}"' for key in known)
        raise InvalidParameterError(
            f"the backend `{self._loaded.describe().backend}` takes no adapters",
            got=f"adapter={name!r}",
            fix=f"leave it out, use a backend that takes them ({others}), or merge it into the "
            "model's weights",
        )


def _pairs(adapters: object) -> Mapping[object, object]:
    if adapters is None:
        return {}
    if isinstance(adapters, Mapping):
        return adapters
    raise InvalidParameterError(
        "`adapters` must map names to folders",
        got=type(adapters).__name__,
        fix='adapters={"support": "adapters/support"}',
    )


def _name(name: object) -> str:
    if not isinstance(name, str) or not name:
        raise InvalidParameterError(
            "an adapter is called by a str", got=repr(name), fix='adapter="support", say'
        )
    return name


def _folder(path: object) -> str:
    folder = os.fspath(path) if isinstance(path, (str, os.PathLike)) else None
    if not isinstance(folder, str) or not folder:
        raise InvalidParameterError(
            "an adapter is a folder", got=repr(path), fix="pass the folder that peft saved"
        )
    return str(Path(folder).expanduser().absolute())
