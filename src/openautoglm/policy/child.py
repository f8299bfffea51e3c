"""The process that evaluates: compiles rules once and answers queries until its socket closes.

A program (`python -I -S child.py FD FOLDER TIMEOUT_S MEMORY_MB`, FOLDER holds regopy), started by
`process`; needs nothing of this package. It ends itself when a request takes too long, whether or
not anybody is left to end it.

A request is a line and a body; a reply is JSON. Both carry their length in four bytes before them.
    load          body: {"modules": [[name, text]...], "data": {...}, "entrypoints": [...]}
    query A/B     body: the input
"""

from __future__ import annotations

import importlib
import json
import signal
import socket
import struct
import sys
import tempfile
from pathlib import Path
from typing import Any

LENGTH = struct.Struct(">I")


def read_frame(connection: socket.socket) -> bytes:
    """Return the next frame; EOFError where the other side is gone."""
    (length,) = LENGTH.unpack(_read(connection, LENGTH.size))
    return _read(connection, length)


def write_frame(connection: socket.socket, body: bytes) -> None:
    """Send one frame."""
    connection.sendall(LENGTH.pack(len(body)) + body)


def _read(connection: socket.socket, count: int) -> bytes:
    parts = []
    while count:
        part = connection.recv(min(count, 1 << 20))
        if not part:
            raise EOFError
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


class Rules:
    """Compiled rules, and what the engine said about them."""

    def __init__(self, modules: list[list[str]], data: object, entrypoints: list[str]) -> None:
        engine = _engine()
        self._interpreter = engine.Interpreter()
        self._interpreter.log_level = engine.LogLevel.NONE
        self._interpreter.strict_built_in_errors = True  # else a failing call is a silent no
        self._interpreter.add_data_json(json.dumps(data))
        for name, text in modules:
            self._interpreter.add_module(name, text)
        self._bundle = self._interpreter.build(None, entrypoints)

    def plan(self) -> dict[str, Any]:
        """Return the compiled plan, and the functions in it that the engine does not have."""
        with tempfile.TemporaryDirectory() as folder:
            self._interpreter.save_bundle(folder + "/bundle", self._bundle)
            plan = json.loads(Path(folder, "bundle", "plan.json").read_bytes())
        used = [function["name"] for function in plan["static"]["builtin_funcs"]]
        missing = [name for name in used if not self._interpreter.is_builtin(name)]
        return {"plan": plan, "missing": missing}

    def query(self, entrypoint: str, text: str) -> dict[str, Any]:
        """Return `{"value": ...}`, or `{}` where the rule is undefined."""
        # As a term, not as a value: the latter cuts text at a NUL and integers to 64 bits.
        self._interpreter.set_input_term(text)
        output = self._interpreter.query_bundle_entrypoint(self._bundle, entrypoint)
        if not output.ok():
            return {"error": _message(output.node())}
        expressions = output.results[0].expressions
        return {"value": expressions[0]} if expressions else {}


def _engine() -> Any:  # noqa: ANN401 - regopy has no types
    return importlib.import_module("regopy")


def _message(errors: Any) -> str:  # noqa: ANN401 - regopy has no types
    """Return the first error's message; `Node.value` refuses errors, so the layer below is read."""
    shared = importlib.import_module("regopy.rego_shared")
    return str(shared.rego_node_value(errors.at(0).at(0)._impl))  # noqa: SLF001 - see above


def _answer(rules: Rules | None, request: bytes) -> tuple[Rules | None, dict[str, Any]]:
    line, _, body = request.partition(b"\n")
    try:
        if line == b"load":
            rules = Rules(**json.loads(body))
            return rules, rules.plan()
        if rules is None:
            return rules, {"error": "no rules were loaded"}
        return rules, rules.query(line.decode().removeprefix("query "), body.decode())
    except _engine().RegoError as error:
        return rules, {"error": str(error)}
    except json.JSONDecodeError as error:  # how regopy tells of errors in the plan
        return rules, {"error": error.doc}
    except MemoryError:
        return rules, {"error": "the rules need more memory than they may have"}


def _limit(memory_mb: int) -> None:
    """Allow so much more address space than the engine reserved when it was loaded (256 GiB)."""
    import resource

    _engine()

    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    size = pages * resource.getpagesize() + (memory_mb << 20)
    resource.setrlimit(resource.RLIMIT_AS, (size, size))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def main(descriptor: str, folder: str, timeout_s: str, memory_mb: str) -> None:
    """Serve until the other side closes the socket."""
    sys.path.insert(0, folder)
    _limit(int(memory_mb))
    connection = socket.socket(fileno=int(descriptor))
    rules: Rules | None = None
    while True:
        try:
            request = read_frame(connection)
        except (EOFError, OSError):
            return
        signal.setitimer(signal.ITIMER_REAL, float(timeout_s))  # SIGALRM ends this process
        rules, reply = _answer(rules, request)
        signal.setitimer(signal.ITIMER_REAL, 0)
        write_frame(connection, json.dumps(reply).encode())


if __name__ == "__main__":
    main(*sys.argv[1:])
