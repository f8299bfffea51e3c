"""A process that was connected to a cluster still hears its own signals: others live in it too."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from tests.ray_nodes import RayNodes

TRAPS: Final = """
import sys

import wasmtime

from openautoglm.jobs.crews.address import Address
from openautoglm.jobs.crews.cluster import joined

engine = wasmtime.Engine()
module = wasmtime.Module(engine, '(module (func (export "trap") unreachable))')

def trap():
    store = wasmtime.Store(engine)
    try:
        wasmtime.Instance(store, module, []).exports(store)["trap"](store)
    except wasmtime.Trap:
        print("heard")

trap()
with joined(Address.read(sys.argv[1])):
    trap()
trap()
"""


def test_webassembly_may_trap_in_a_process_that_is_or_was_connected(ray_nodes: RayNodes) -> None:
    program = [sys.executable, "-c", TRAPS, ray_nodes.address]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.split()) == (0, ["heard"] * 3), done.stderr
