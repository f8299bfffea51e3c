"""What an import would do is read from the source."""

from __future__ import annotations

from pathlib import Path

import pytest

from openautoglm.plugins.inspect.effects import Effect, effects
from openautoglm.plugins.inspect.sources import Module, read_modules


def effects_of(text: str, folder: Path) -> list[Effect]:
    (folder / "it.py").write_text(text, encoding="utf-8")
    (module,) = read_modules(folder, (Path("it.py"),))
    assert isinstance(module, Module), module
    return list(effects(module))


GRAVE = {
    "import socket as s\ns.socket()": "uses the network",
    "from urllib.request import urlopen\nurlopen('http://x')": "uses the network",
    "import os\nos.system('x')": "starts a process",
    "import subprocess\nX = subprocess.check_output(['x'])": "starts a process",
    "open('x', 'w')": "changes files",
    "open('x', mode='ab')": "changes files",
    "from pathlib import Path\nPath('x').write_text('y')": "changes files",
    "from pathlib import Path\n(Path('x') / 'y').mkdir()": "changes files",
    "from pathlib import Path\nP = Path('x')\nP.open('w')": "changes files",
    "import threading\nt = threading.Thread(target=print)\nt.start()": "starts a thread",
    "import os\nos.environ['A'] = 'b'": "changes the environment",
    "from os import environ\nenviron.setdefault('A', 'b')": "changes the environment",
    "import sys\nsys.path += ['x']": "changes where modules are found",
    "import sys\nsys.modules['json'] = None": "changes where modules are found",
    "import signal\nsignal.signal(2, 3)": "installs a handler for the process",
    "import atexit\n@atexit.register\ndef bye(): pass": "installs a handler for the process",
    "import json\njson.dumps = None": "changes another package",
    "import os\nif True:\n    os.chdir('/')": "changes the process",
    "import os\nclass A:\n    os.chdir('/')": "changes the process",
    "import os\ndef f():\n    os.chdir('/')\nf()": "changes the process",
    "import os\ndef d(g):\n    os.chdir('/')\n@d\ndef f(): pass": "changes the process",
    "import os\nclass A:\n    def __init__(s): os.chdir('/')\nA()": "changes the process",
    "import os\ndef f(x=os.chdir('/')): pass": "changes the process",
    "import os\ntry:\n    import no\nexcept KeyError:\n    os.chdir('/')": "changes the process",
}


@pytest.mark.parametrize("text", GRAVE)
def test_what_reaches_beyond_the_plugin_is_grave(text: str, tmp_path: Path) -> None:
    found = effects_of(text, tmp_path)
    assert [(e.kind, e.gravity) for e in found] == [(GRAVE[text], "fail")]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("print('x')", "prints"),
        ("open('x')", "reads a file"),
        ("import time\ntime.sleep(1)", "waits"),
        ("import random\nrandom.seed(1)", "changes a setting of the whole process"),
        ("exec('x')", "runs text as code"),
    ],
)
def test_bad_manners_are_warned_of(text: str, kind: str, tmp_path: Path) -> None:
    assert [(e.kind, e.gravity) for e in effects_of(text, tmp_path)] == [(kind, "warn")]


@pytest.mark.parametrize(
    "text",
    [
        "import os\ndef f(): os.system('x')",
        "import os\nclass A:\n    def run(self): os.system('x')",
        "import os\nf = lambda: os.system('x')",
        "import os\nif __name__ == '__main__':\n    os.system('x')",
        "import os\nfrom typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    os.system('x')",
        "import os\ndef f():\n    yield os.system('x')\nG = f()",
        "import os\nHOME = os.getenv('HOME')\nCPUS = os.cpu_count()",
        "import threading\nLOCK = threading.Lock()\nT = threading.Thread(target=print)",
        "import logging\nLOG = logging.getLogger(__name__)",
        "import it.other\nit.other.NAME = 1",
        "class A:\n    x = 1\nA.x = 2",
    ],
)
def test_defining_things_is_no_effect(text: str, tmp_path: Path) -> None:
    assert effects_of(text, tmp_path) == []


def test_an_effect_names_file_and_line(tmp_path: Path) -> None:
    (effect,) = effects_of("import os\n\nos.chdir('/')", tmp_path)
    assert (effect.where, effect.code) == ("it.py:3", "os.chdir(…)")
