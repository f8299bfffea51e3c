"""What a plain call of a contribution is, for each point; runs in the child.

Owns the calls and the requests that can be made up where none is recorded. What upper rows have is
imported by name when it is needed. Kernels, sinks and tasks have no plain calls: their suites ask.
"""

from __future__ import annotations

import inspect
from copy import deepcopy
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from openautoglm.errors import PluginCheckError
from openautoglm.plugins.loans import lending
from openautoglm.plugins.trial.requests import Request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from openautoglm.plugins.loans import Lender
    from openautoglm.plugins.manifest import Provides

TEXTS: Final = ("Some words. And more.", "请总结:人工智能 👋🏽", "<p>a &amp; b</p>")
LONGEST_ANSWER: Final = 16
_LIBRARIES: Final[list[Any]] = []


def call(point: str, value: Any, adopted: Any, request: Request) -> object:  # noqa: ANN401 - a plugin's objects
    """Make a request of a contribution, and return the answer.

    Args:
        point: what it extends.
        value: what the manifest's `object` names.
        adopted: what the point's registry would hold.
        request: with arguments that are not changed by this.
    """
    copied = msgspec.structs.replace(
        request, args=deepcopy(request.args), kwargs=deepcopy(request.kwargs)
    )
    answer = _CALLS.get(point, _call_method)(value, adopted, copied)
    return list(answer) if inspect.isgenerator(answer) else answer


def _call_step(_value: Any, adopted: Any, request: Request) -> object:  # noqa: ANN401 - a step's class
    method = getattr(msgspec.convert(request.params, type=adopted), request.method or "run")
    if "context" not in inspect.signature(method).parameters:
        return method(*request.args, **request.kwargs)
    with lending(_echo()) as loan:
        context = _host("openautoglm.pipeline.step_servant:WorkerContext")(
            source="check", loan=loan
        )
        return _read(method(*request.args, **request.kwargs, context=context))


def _read(answer: object) -> object:
    """Read what is an iterator while the model is lent, as a worker does."""
    if not isinstance(answer, dict):
        return answer
    return {k: list(v) if inspect.isgenerator(v) else v for k, v in answer.items()}


@lru_cache(maxsize=1)
def _echo() -> Lender:
    """Return what lends a model that says back what it was asked."""
    backend = _host("openautoglm.testing.echo:EchoBackend")()
    engine = _host("openautoglm.engine.autoglm:AutoGLM")(backend=backend)
    context = _host("openautoglm.pipeline.context:RunContext")(given_engine=engine)
    lent: Lender = _host("openautoglm.pipeline.lent_engine:lender")(context)
    return lent


def _call_operator(_value: Any, adopted: Any, request: Request) -> object:  # noqa: ANN401 - an operator
    numpy = import_module("numpy")
    arrays = [numpy.asarray(a, numpy.float32) if isinstance(a, list) else a for a in request.args]
    operator = _loaded(adopted, request.contribution) if isinstance(adopted, Path) else adopted
    return operator(*arrays, **request.kwargs)


@lru_cache(maxsize=4)
def _loaded(library: Path, name: str) -> Any:  # noqa: ANN401 - an operator
    """Load a library of kernels once, whatever the number of calls."""
    loaded = _host("openautoglm.ops:load_library")(library)
    _LIBRARIES.append(loaded)
    return _host("openautoglm.ops:get")(name)


def let_go() -> None:
    """Unload the libraries that calls needed: whoever loads them next finds their names free."""
    _loaded.cache_clear()
    while _LIBRARIES:
        _LIBRARIES.pop().unload()


def _call_backend(_value: Any, adopted: Any, request: Request) -> object:  # noqa: ANN401 - a BackendEntry
    engine = _engine(adopted, msgspec.msgpack.encode(request.params))
    options = {"max_length": LONGEST_ANSWER, **request.kwargs}
    return getattr(engine, request.method or "run")(*request.args, **options).text


@lru_cache(maxsize=4)
def _engine(adopted: Any, params: bytes) -> Any:  # noqa: ANN401 - a BackendEntry, an AutoGLM
    """Load a model once, whatever the number of calls."""
    spec = _host("openautoglm.engine.backend:LoadSpec")
    loaded = adopted.load(spec(**msgspec.msgpack.decode(params)))
    return _host("openautoglm.engine.autoglm:AutoGLM")(backend=loaded)


def _call_source(_value: Any, adopted: Any, request: Request) -> object:  # noqa: ANN401 - what opens a source
    url = request.params.get("url", "")
    options = request.params.get("options", {})
    opened = adopted(_host("openautoglm.data.location:read_location")(url, options))
    if request.method:
        answer = getattr(opened, request.method)(*request.args, **request.kwargs)
        return msgspec.to_builtins(list(answer) if inspect.isgenerator(answer) else answer)
    return [dict(record.values) for record in opened.read()]


def _call_method(value: Any, adopted: Any, request: Request) -> object:  # noqa: ANN401 - a plugin's objects
    made = value(**request.params) if isinstance(value, type) else adopted
    if not request.method:
        raise PluginCheckError(
            "a request to this point names its method", got=request.contribution, fix="add `method`"
        )
    return getattr(made, request.method)(*request.args, **request.kwargs)


_CALLS: Final[Mapping[str, Callable[[Any, Any, Request], object]]] = {
    "step": _call_step,
    "operator": _call_operator,
    "backend": _call_backend,
    "source": _call_source,
}


def opened(point: str, adopted: Any, request: Request) -> Iterator[object] | None:  # noqa: ANN401 - a plugin's object
    """Return a stream of a contribution, closed by closing it; None where it has none."""
    if point == "source" and not request.method:
        options = request.params.get("options", {})
        read_location = _host("openautoglm.data.location:read_location")
        rows: Iterator[object] = iter(
            adopted(read_location(request.params.get("url", ""), options)).read()
        )
        return rows
    if point == "backend" and not request.method:
        return _pieces(_engine(adopted, msgspec.msgpack.encode(request.params)), request)
    return None


def _pieces(engine: Any, request: Request) -> Iterator[object]:  # noqa: ANN401 - an AutoGLM
    stream = engine.stream(*request.args, **{"max_length": LONGEST_ANSWER, **request.kwargs})
    try:
        yield from stream
    finally:
        stream.cancel()
        for _ in stream:  # to its end, which comes soon where it stops
            pass


def _host(where: str) -> Any:  # noqa: ANN401 - whatever an upper row has there
    module, _, name = where.partition(":")
    return getattr(import_module(module), name)


def made_up(provides: Provides, adopted: Any) -> tuple[Request, ...]:  # noqa: ANN401 - a plugin's object
    """Return requests for a contribution that needs nothing but texts; none for others."""
    match provides.point:
        case "step":
            return _of_step(provides, adopted)
        case "backend":
            return tuple(Request(contribution=provides.name, args=[text]) for text in TEXTS)
        case "driver":
            kwargs = {"key": "OPENAUTOGLM_NOT_SET", "default": "x"}
            return (Request(contribution=provides.name, method="get_env", kwargs=kwargs),)
        case _:
            return ()


def _of_step(provides: Provides, adopted: Any) -> tuple[Request, ...]:  # noqa: ANN401 - a step's class
    sockets = inspect.signature(adopted.run).parameters
    required = [name for name, must in adopted.inputs().items() if must]
    is_plain = all(sockets[name].annotation in {"str", str} for name in required)
    needs = [f.name for f in msgspec.structs.fields(adopted) if f.required]
    if not required or not is_plain or needs:
        return ()
    return tuple(
        Request(contribution=provides.name, kwargs=dict.fromkeys(required, text)) for text in TEXTS
    )
