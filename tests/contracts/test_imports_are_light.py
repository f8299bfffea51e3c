"""Importing the package and asking for help load only what they need."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

REPORT = """
import json, sys, threading
before = set(sys.modules)
{body}
loaded = sorted({{name.split(".")[0] for name in set(sys.modules) - before}})
third = [n for n in loaded if n not in sys.stdlib_module_names and n != "openautoglm"]
print("\\n" + json.dumps({{"third": third, "threads": threading.active_count()}}))
"""
HEAVY = {"torch", "transformers", "numpy", "llguidance", "tokenizers", "openai", "pydantic"}


def report(body: str) -> tuple[list[str], int]:
    done = subprocess.run(
        [sys.executable, "-c", REPORT.format(body=body)], capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout.splitlines()[-1])
    return found["third"], found["threads"]


@pytest.mark.parametrize(
    "body",
    [
        "import openautoglm",
        "from openautoglm import OpenAutoGLMError, PlatformIO, Registry, owned_by",
    ],
)
def test_the_root_import_loads_no_third_party_module_and_starts_no_thread(body: str) -> None:
    third, threads = report(body)
    assert third == []
    assert threads == 1


def test_the_front_door_loads_no_heavy_module_before_it_is_used() -> None:
    third, threads = report("from openautoglm import AutoGLM, PromptTemplate, SamplingParams")
    assert not HEAVY.intersection(third)
    assert threads == 1


def test_help_loads_no_heavy_module() -> None:
    third, _ = report(
        "import sys; from openautoglm.cli import main\n"
        "sys.argv = ['oag', '--help']\n"
        "try: main()\n"
        "except SystemExit as stop: assert not stop.code"
    )
    assert not HEAVY.intersection(third)
