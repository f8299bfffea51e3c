"""What an import really did is seen from inside."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = """
import json, sys
sys.path.insert(0, sys.argv[1])
import logging.handlers, socket, threading, signal, json as host
from openautoglm.plugins.trial.observed import Watch
watch = Watch("acme")
with watch:
    import acme
print(json.dumps(watch.found))
"""


def seen(source: str, folder: Path) -> list[str]:
    (folder / "acme.py").write_text(source, encoding="utf-8")
    command = [sys.executable, "-B", "-c", PROGRAM, str(folder)]
    done = subprocess.run(command, capture_output=True, check=True, text=True, cwd=folder)
    found: list[str] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("open('x', 'w').close()", "changes files"),
        ("import pathlib\npathlib.Path('x').mkdir()", "changes files"),
        ("import socket\nsocket.socket().close()", "uses the network"),
        ("import threading as t\nt.Thread(target=t.Event().wait, daemon=True).start()", "starts a"),
        ("import os\nos.environ['ACME'] = '1'", "changes the environment"),
        ("import sys\nsys.path.append('/nowhere')", "changes where modules are found"),
        ("import sys\nsys.meta_path.pop()", "changes how modules are found"),
        ("import signal\nsignal.signal(10, signal.SIG_IGN)", "installs a handler for a signal: 10"),
        ("import atexit\natexit.register(len, [])", "installs a handler for the process"),
        ("import sys\nsys.excepthook = print", "installs a handler for the process"),
        ("import logging\nlogging.info = repr", "changes another package: logging.info"),
        ("import sys\ndel sys.modules['logging.handlers']", "changes another package"),
        ("import os\nos.chdir('/')", "changes the working folder"),
        ("import os\nos.umask(0)", "changes the umask"),
        ("import gc\ngc.disable()", "switches the garbage collector"),
        ("getattr(__import__('o' + 's'), 'environ')['A'] = '1'", "changes the environment: A"),
    ],
)
def test_what_an_import_does_is_named(source: str, kind: str, tmp_path: Path) -> None:
    found = seen(source, tmp_path)
    assert any(text.startswith(kind) for text in found), found


@pytest.mark.parametrize(
    "source",
    [
        "import decimal, sqlite3, ctypes.util",
        "open(__file__).close()",
        "import logging\nLOG = logging.getLogger('acme')",
        "import functools\n@functools.cache\ndef f(): return 1\nf()",
        "class A:\n    pass\nA.x = 1",
    ],
)
def test_an_import_that_only_defines_does_nothing(source: str, tmp_path: Path) -> None:
    assert seen(source, tmp_path) == []
