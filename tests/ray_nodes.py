"""A Ray cluster of several nodes on this machine, held by one process: a program for tests.

It reads a line on standard input for each thing to do, and answers with a line of JSON: `add CPUS`
starts a node and `kill N` ends the Nth one as a machine that fails does; the end of its input ends
the cluster. Its first line tells the address. Knows nothing of what runs on it.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Final, Self, TextIO, final

if TYPE_CHECKING:
    from collections.abc import Mapping

STORE_BYTES: Final = 80 << 20
"""Of each node's store of objects, near the least that Ray takes."""


@final
class RayNodes:
    """A head that runs no workers, and nodes beside it; leaving the `with` ends them all.

    Args:
        environment: of all nodes.
        nodes: how many, of one processor each.
    """

    def __init__(self, environment: Mapping[str, str], *, nodes: int = 2) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**environment, "RAY_USAGE_STATS_ENABLED": "0"},
            text=True,
        )
        self.address = str(self._hear("address"))
        self.nodes = [self.add() for _ in range(nodes)]

    def add(self) -> int:
        """Start a node; return its number."""
        return int(str(self._ask("add 1", "node")))

    def kill(self, node: int) -> None:
        """End all processes of a node at once."""
        self._ask(f"kill {node}", "killed")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait(timeout=60)
        if self._process.stdout is not None:
            self._process.stdout.close()

    def _ask(self, line: str, key: str) -> object:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        return self._hear(key)

    def _hear(self, key: str) -> object:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with contextlib.suppress(ValueError):  # Ray prints too
                said = json.loads(line)
                if isinstance(said, dict) and key in said:
                    return said[key]
        raise AssertionError(f"Ray did not start: exit code {self._process.wait()}")


def main(says: TextIO) -> None:
    """Hold a cluster for who asks on standard input."""
    from ray.cluster_utils import Cluster

    def say(**answer: object) -> None:
        says.write(f"{json.dumps(answer)}\n")
        says.flush()

    head = {"num_cpus": 0, "object_store_memory": STORE_BYTES, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    nodes: dict[int, object] = {}
    try:
        say(address=cluster.address)
        for number, line in enumerate(sys.stdin):
            verb, count = line.split()
            if verb == "add":
                node = cluster.add_node(num_cpus=int(count), object_store_memory=STORE_BYTES)
                nodes[number] = node
                say(node=number)
            else:
                cluster.remove_node(nodes.pop(int(count)), allow_graceful=False)
                say(killed=int(count))
    finally:
        cluster.shutdown()


if __name__ == "__main__":
    own = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what Ray prints is not what we say
    main(own)
