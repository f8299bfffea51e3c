"""One contribution, loaded, and how a request to it is made; runs in the child.

Owns `Contributed` and what a plain call is for each point. A step is made with the request's
parameters and run on its arguments; of other contributions the named method is called. Points
without calls of their own (operators, kernels, tasks) are left to their suites.
"""

from __future__ import annotations

import inspect
from copy import deepcopy
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, final

import msgspec

from openautoglm.errors import PluginCheckError
from openautoglm.plugins.inspect.rows import skipped
from openautoglm.plugins.points import POINTS
from openautoglm.plugins.trial.requests import Request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from openautoglm.plugins.manifest import Provides
    from openautoglm.plugins.points import ExtensionPoint
    from openautoglm.plugins.report import Finding

TEXTS: Final = ("Some words. And more.", "请总结:人工智能 👋🏽", "<p>a &amp; b</p>")
CONTEXT: Final = "openautoglm.pipeline.step_servant:WorkerContext"
STRANGE: Final[tuple[object, ...]] = (None, 7, b"\xff\x00", ["x"], {"a": 1})
"""Values that are no texts."""


@final
@dataclass(frozen=True, kw_only=True)
class Contributed:
    """What a plugin contributes under one name.

    Attributes:
        provides: what the manifest says of it.
        value: what `object` names.
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
        target = self._target(request)
        arguments: dict[str, Any] = deepcopy(request.kwargs)
        if self.provides.point == "step" and _wants_context(target):
            module, _, name = CONTEXT.partition(":")
            arguments["context"] = getattr(import_module(module), name)(source="check")
        answer = target(*deepcopy(request.args), **arguments)
        return list(answer) if inspect.isgenerator(answer) else answer

    def _target(self, request: Request) -> Callable[..., object]:
        made: Any = self.adopted
        if self.provides.point == "step":
            made = msgspec.convert(request.params, type=self.adopted)
            return getattr(made, request.method or "run")  # type: ignore[no-any-return]  # a plugin's method
        if isinstance(self.value, type):
            made = self.value(**request.params)
        if not request.method:
            raise PluginCheckError(
                f"a request to a {self.provides.point} names its method",
                got=request.contribution,
                fix='add "method"',
            )
        return getattr(made, request.method)  # type: ignore[no-any-return]  # a plugin's method

    def suite(self) -> Iterator[Finding]:
        """Run the point's own suite, on the recorded requests where it takes examples."""
        options: dict[str, object] = {"name": self.provides.name}
        if self.provides.point == "step" and self.requests:
            params = self.requests[0].params
            options["params"] = params
            same = [r for r in self.requests if r.params == params and not r.args and not r.error]
            options["examples"] = [request.kwargs for request in same]
        try:
            self.point.load("conformance")
        except ImportError as error:
            yield skipped("trial.conformance", f"the suite is not there: {error}")
            return
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


def load(provides: Provides, recorded: tuple[Request, ...]) -> Contributed:
    """Import what a contribution names, and make of it what the registry would hold."""
    module, _, attribute = (provides.object or "").partition(":")
    value: Any = import_module(module)
    for part in attribute.split("."):
        value = getattr(value, part)
    adopted = POINTS.get(provides.point).adopted(value, provides)
    own = tuple(request for request in recorded if request.contribution == provides.name)
    return Contributed(
        provides=provides,
        value=value,
        adopted=adopted,
        requests=own or _made_up(provides, adopted),
    )


def _made_up(provides: Provides, adopted: Any) -> tuple[Request, ...]:  # noqa: ANN401 - a step's class
    """Return requests to a step that needs nothing but texts, and to a driver."""
    if provides.point == "driver":
        kwargs = {"key": "OPENAUTOGLM_NOT_SET", "default": "x"}
        return (Request(contribution=provides.name, method="get_env", kwargs=kwargs),)
    if provides.point != "step":
        return ()
    sockets = inspect.signature(adopted.run).parameters
    required = [name for name, must in adopted.inputs().items() if must]
    is_plain = all(sockets[name].annotation in {"str", str} for name in required)
    needs = [f.name for f in msgspec.structs.fields(adopted) if f.required]
    if not required or not is_plain or needs:
        return ()
    return tuple(
        Request(contribution=provides.name, kwargs=dict.fromkeys(required, text)) for text in TEXTS
    )


def _wants_context(function: Callable[..., object]) -> bool:
    return "context" in inspect.signature(function).parameters


def stable(answer: object) -> bytes:
    """Return bytes that are equal for equal answers, whatever they are made of."""
    return msgspec.msgpack.encode(answer, enc_hook=_plain, order="sorted")


def _plain(value: Any) -> object:  # noqa: ANN401 - anything a plugin returns
    if hasattr(value, "__array__") and hasattr(value, "tolist"):
        return [str(value.dtype), value.tolist()]
    if isinstance(value, (set, frozenset)):
        return sorted(map(repr, value))
    if hasattr(value, "__dict__"):
        return {"type": type(value).__qualname__, **vars(value)}
    return repr(value)


def answers_of(contributed: Contributed) -> Mapping[int, bytes]:
    """Return the answers to all requests, errors among them, by place."""
    found = {}
    for place, request in enumerate(contributed.requests):
        try:
            found[place] = stable(contributed.call(request))
        except Exception as error:  # noqa: BLE001 - an error is an answer
            found[place] = f"{type(error).__name__}: {error}".encode()
    return found
