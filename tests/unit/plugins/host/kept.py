"""A plugin whose contributions keep what they are told in memory. Its file is copied, not imported.

It runs in workers, several at a time: what one of them keeps, no other has.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from openautoglm.data import Description, Receipt, Record, Shard
from openautoglm.engine.backend import one_by_one
from openautoglm.errors import SourceChangedError
from openautoglm.testing.echo import EchoBackend

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from openautoglm.data import Location
    from openautoglm.engine.backend import ModelInfo, Request
    from openautoglm.engine.generation import Generation

Value: TypeAlias = Any
VERSION = "1"


class Sink:
    """Keeps rows in memory until they are put in place in one step."""

    def __init__(self, location: Location, _part: object = None) -> None:
        self.path = Path(location.path)
        self.rows: list[Value] = []
        self.receipt: Receipt | None = None

    def committed(self) -> Receipt | None:
        return self.receipt

    def write(self, rows: Value) -> None:
        self.rows += [f"{row['n']} {VERSION} {os.getpid()}" for row in rows]

    def commit(self) -> Receipt:
        if self.receipt is None:
            beside = self.path.with_suffix(".new")
            beside.write_text("\n".join(self.rows), "utf-8")
            beside.rename(self.path)
            self.receipt = Receipt(url=str(self.path), rows=len(self.rows))
        return self.receipt

    def abort(self) -> None:
        self.rows.clear()


class Source:
    """The numbers below the one that the URL names, each with the worker that read it."""

    def __init__(self, location: Location) -> None:
        self.count = int(location.path)
        self.opened = f"{os.getpid()}-{id(self)}"

    def describe(self) -> Description:
        return Description(url="", columns=(), fingerprint={"by": self.opened}, rows=self.count)

    def shards(self, *, rows: int) -> Iterator[Shard]:
        for index, start in enumerate(range(0, self.count, rows)):
            yield Shard(index=index, start=str(start), stop=str(min(start + rows, self.count)))

    def read(
        self, shard: Shard | None = None, *, resume_from: str | None = None
    ) -> Iterator[Record]:
        begin = resume_from or (shard.start if shard else "0") or "0"
        end = self.count if shard is None else int(shard.stop or 0)
        if not begin.isdecimal():
            raise SourceChangedError("no such place")
        for n in range(int(begin), end):
            time.sleep(0.0005)
            yield Record(key=str(n), position=str(n + 1), values={"n": n, "by": self.opened})

    def close(self) -> None:
        self.opened = "closed"


class Backend:
    """Says it back, slowly; a file in its folder stands for each model that is loaded."""

    def __init__(self, spec: Value) -> None:
        del spec
        self.inner = EchoBackend()
        self.mark = Path(os.environ["TMPDIR"], f"loaded-{os.getpid()}-{id(self)}")
        self.mark.touch()

    def describe(self) -> ModelInfo:
        return self.inner.describe()

    def count_tokens(self, text: str) -> int:
        return self.inner.count_tokens(text)

    def stream(self, request: Request) -> Iterator[str | Generation]:
        for piece in self.inner.stream(request):
            time.sleep(0.001)
            yield piece

    def batch(self, requests: Iterable[Request]) -> Iterator[tuple[int, Generation]]:
        asked = list(requests)
        if any(request.prompt == "wait for the cancel" for request in asked):
            for request in asked:
                request.cancel.wait(20)
        return one_by_one(self, asked)

    def close(self) -> None:
        self.inner.close()
        self.mark.unlink(missing_ok=True)
