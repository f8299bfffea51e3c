"""Rows through a function: `module:name`, plain or `async`.

Owns `FunctionWork`. Coroutines of all rows run in one event loop, so that clients they share stay
usable. Knows nothing of models.
"""

from __future__ import annotations

import inspect
import platform
import sys
import threading
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, final

from openautoglm.errors import JobSpecError, StepError
from openautoglm.jobs.work import Answer
from openautoglm.jobs.works.digest import of_files
from openautoglm.registry import suggest

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from openautoglm.data.source import Row
    from openautoglm.jobs.spec import JobSpec

EXAMPLE: Final = 'function="my_module:my_function"'


@final
class FunctionIntent:
    """What a function wants of a row, which nobody can say before it is called."""

    def __init__(self, spec: JobSpec) -> None:
        self._named = spec.function or ""
        self._function = find(self._named)

    def inputs(self) -> tuple[str, ...]:
        """Return nothing."""
        return ()

    def takes(self) -> None:
        """Return that it may be anything."""

    def outputs(self) -> None:
        """Return that only an answer tells."""

    def fingerprint(self) -> Mapping[str, str]:
        """Return the file of its module, helpers beside it included; what it imports is not read.

        One without a file is part of Python, whose version counts.
        """
        module = self._named.partition(":")[0]
        file = getattr(sys.modules.get(module), "__file__", None)
        if file is None or not Path(file).is_file():
            return {"function": f"{self._named} Python {platform.python_version()}"}
        return {"function": f"{self._named} {Path(file).name} {of_files([Path(file)])}"}

    def open(self) -> FunctionWork:
        """Return what calls it."""
        return FunctionWork(self, self._named, self._function)


@final
class FunctionWork:
    """Call a function for each row, in the caller's thread; an `async` one in a loop's."""

    def __init__(
        self, intent: FunctionIntent, named: str, function: Callable[[Row], object]
    ) -> None:
        self._intent, self._named, self._function = intent, named, function
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        if inspect.iscoroutinefunction(function):
            import asyncio

            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(
                target=self._loop.run_forever, name="openautoglm-job-loop", daemon=True
            )
            self._thread.start()

    def inputs(self) -> tuple[str, ...]:
        """See `FunctionIntent.inputs`."""
        return self._intent.inputs()

    def fingerprint(self) -> Mapping[str, str]:
        """See `FunctionIntent.fingerprint`."""
        return self._intent.fingerprint()

    def answer(self, values: Row) -> Answer:
        """Call the function.

        Raises:
            StepError: it returned no mapping.
            Exception: what it raises.
        """
        found = self._called(values)
        if isinstance(found, Mapping) and all(isinstance(name, str) for name in found):
            return Answer(outputs=found)
        raise StepError(
            f"the function `{self._named}` returned no mapping of names to values",
            got=repr(found)[:200],
            fix='return a dict such as {"answer": …}',
        )

    def close(self) -> None:
        """End the loop; twice is fine."""
        loop, self._loop = self._loop, None
        if loop is None or self._thread is None:
            return
        loop.call_soon_threadsafe(loop.stop)
        self._thread.join()
        loop.close()

    def _called(self, values: Row) -> object:
        if self._loop is None:
            return self._function(values)
        import asyncio

        coroutine: Any = self._function(values)  # of an `async def`, as was looked at
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()


def find(named: str) -> Callable[[Row], object]:
    """Import a function.

    Raises:
        JobSpecError: the name has another form, or there is no such function.
    """
    module, colon, name = named.partition(":")
    if not colon or not module or not name:
        raise JobSpecError(
            "`function` is written `module:name`", got=repr(named)[:200], fix=EXAMPLE
        )
    if module == "__main__":
        raise JobSpecError(
            "workers are processes of their own and cannot import `__main__`",
            got=named,
            fix="put the function in a module of its own and name that",
        )
    found = _attribute(_imported(module, named), name, named)
    if callable(found):
        return found
    raise JobSpecError("`function` names no function", got=f"{named} is {found!r}"[:200])


def _imported(module: str, named: str) -> object:
    try:
        return import_module(module)
    except Exception as cause:
        raise JobSpecError(
            f"the module of `function` cannot be imported: {type(cause).__name__}: {cause}",
            got=f"{named}; looked in {', '.join(sys.path[:3])}, …",
            fix="start in the folder that holds it, or add that to PYTHONPATH",
        ) from cause


def _attribute(holder: object, name: str, named: str) -> object:
    for part in name.split("."):
        if not hasattr(holder, part):
            known = tuple(n for n in dir(holder) if not n.startswith("_"))
            raise JobSpecError(
                f"`function`: there is no `{part}` in it", got=named, fix=suggest(part, known)
            )
        holder = getattr(holder, part)
    return holder
