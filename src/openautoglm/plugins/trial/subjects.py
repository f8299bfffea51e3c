"""One contribution, loaded, and what can be asked of it; runs in the child.

Owns `Contributed`, its loading and what makes two answers the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, final

import msgspec

from openautoglm.plugins.host.wasm import WasmObject
from openautoglm.plugins.inspect.rows import skipped
from openautoglm.plugins.points import POINTS
from openautoglm.plugins.trial import plain_calls

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openautoglm.plugins.manifest import Provides
    from openautoglm.plugins.points import ExtensionPoint
    from openautoglm.plugins.report import Finding
    from openautoglm.plugins.trial.requests import Request

STRANGE: Final[tuple[object, ...]] = (None, 7, b"\xff\x00", ["x"], {"a": 1})
"""Values that are no texts."""


@final
@dataclass(frozen=True, kw_only=True)
class Contributed:
    """What a plugin contributes under one name.

    Attributes:
        provides: what the manifest says of it.
        value: what `object` names, or the path of what `sources` names.
        adopted: what the point's registry would hold.
        requests: to make of it; recorded ones, or else what can be made up.
    """

    provides: Provides
    value: object
    adopted: object
    requests: tuple[Request, ...]

    @property
    def point(self) -> ExtensionPoint:
        """The extension point."""
        return POINTS.get(self.provides.point)

    def call(self, request: Request) -> object:
        """Make a request, and return the answer."""
        return plain_calls.call(self.provides.point, self.value, self.adopted, request)

    def opened(self, request: Request) -> Iterator[object] | None:
        """Return a stream, or None where the contribution has none."""
        return plain_calls.opened(self.provides.point, self.adopted, request)

    def suite(self, *, is_quick: bool) -> Iterator[Finding]:
        """Run the point's own suite; what the first recorded request is made with are its options.

        A step's suite takes the recorded inputs as examples.
        """
        options: dict[str, object] = {"name": self.provides.name}
        options["profile"] = "quick" if is_quick else "full"
        if self.requests:
            params = self.requests[0].params
            options |= {"params": params} if self.provides.point == "step" else params
            same = [r for r in self.requests if r.params == params and not r.args and not r.error]
            options["examples"] = [request.kwargs for request in same]
        try:
            self.point.load("conformance")
        except ImportError as error:
            yield skipped("trial.conformance", f"the suite is not there: {error}")
            return
        plain_calls.let_go()
        yield from self.point.findings(lambda: self.adopted, options)

    def strange(self) -> Iterator[Request]:
        """Return requests with values that are not expected."""
        if not self.requests or self.provides.point == "driver":
            return
        plain = self.requests[0]
        for name in plain.kwargs:
            for value in STRANGE:
                if type(value) is not type(plain.kwargs[name]):
                    kwargs = {**plain.kwargs, name: value}
                    yield msgspec.structs.replace(plain, kwargs=kwargs, expected=msgspec.UNSET)
        if plain.args and not plain.kwargs:
            for value in STRANGE:
                args = [value, *plain.args[1:]]
                yield msgspec.structs.replace(plain, args=args, expected=msgspec.UNSET)


def load(provides: Provides, recorded: tuple[Request, ...], part: str | None) -> Contributed:
    """Import what a contribution names, and make of it what the registry would hold.

    Args:
        provides: what the manifest says of it.
        recorded: requests to the whole plugin.
        part: path of what `sources` names.
    """
    value: Any = Path(part) if part is not None else None
    if provides.module is not None:
        return _in_machine(provides, recorded, value)
    if provides.object is not None:
        module, _, attribute = provides.object.partition(":")
        value = import_module(module)
        for name in attribute.split("."):
            value = getattr(value, name)
    adopted = POINTS.get(provides.point).adopted(value, provides)
    own = tuple(request for request in recorded if request.contribution == provides.name)
    return Contributed(
        provides=provides,
        value=value,
        adopted=adopted,
        requests=own or plain_calls.made_up(provides, adopted),
    )


def _in_machine(provides: Provides, recorded: tuple[Request, ...], path: Path) -> Contributed:
    """Load WebAssembly into a machine of its own, for as long as this process lives."""
    remote = WasmObject(path.read_bytes())
    adapted = POINTS.get(provides.point).adapted(remote, provides)
    own = tuple(request for request in recorded if request.contribution == provides.name)
    return Contributed(provides=provides, value=path, adopted=adapted, requests=own)


def stable(answer: object) -> bytes:
    """Return bytes that are equal for equal answers, whatever they are made of.

    Example:
        >>> stable({"a": {2, 1}, "b": 1}) == stable({"b": 1, "a": {1, 2}})
        True
    """
    return msgspec.msgpack.encode(answer, enc_hook=_plain, order="sorted")


def is_like(answer: Any, expected: Any) -> bool:  # noqa: ANN401 - anything a plugin returns
    """Return whether an answer is the one that was recorded; numbers of arrays within rounding.

    Example:
        >>> is_like({"text": "A"}, {"text": "A"}), is_like([1.0], [1.5])
        (True, False)
    """
    if isinstance(answer, tuple) and isinstance(expected, list) and len(answer) == len(expected):
        return all(map(is_like, answer, expected))
    if not hasattr(answer, "__array__") or not isinstance(expected, (list, int, float)):
        return stable(answer) == stable(expected)
    numpy = import_module("numpy")
    try:
        found, wanted = numpy.asarray(answer), numpy.asarray(expected)
    except ValueError:  # no array at all
        return stable(answer) == stable(expected)
    if found.shape != wanted.shape or wanted.dtype.kind not in "biuf":
        return stable(answer) == stable(expected)
    return bool(numpy.allclose(found, wanted, rtol=1e-5, atol=1e-6, equal_nan=True))


def _plain(value: Any) -> object:  # noqa: ANN401 - anything a plugin returns
    if hasattr(value, "__array__") and hasattr(value, "tolist"):
        return [str(value.dtype), value.tolist()]
    if hasattr(value, "__dict__"):
        return {"type": type(value).__qualname__, **vars(value)}
    return repr(value)


def answers_of(contributed: Contributed) -> list[bytes]:
    """Return the answers to all requests, errors among them, in order."""
    found = []
    for request in contributed.requests:
        try:
            found.append(stable(contributed.call(request)))
        except Exception as error:  # noqa: BLE001 - an error is an answer
            found.append(f"{type(error).__name__}: {error}".encode())
    return found
