"""Plugins in this process: several versions at a time, taken back whole, nothing left behind."""

from __future__ import annotations

import gc
import sys
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from openautoglm import ops
from openautoglm.data import SOURCES
from openautoglm.errors import NameTakenError, PluginContributionError, PluginLoadError
from openautoglm.pipeline.catalog import STEPS, TASKS
from openautoglm.pipeline.graph import Pipeline
from openautoglm.plugins.inprocess import InProcessPlugin
from openautoglm.plugins.manifest import Manifest, Provides
from openautoglm.plugins.points import POINTS
from openautoglm.plugins.private_code import ROOT, PrivateCode

STEP = """
from collections.abc import Mapping
from typing import ClassVar
from openautoglm.pipeline.step import Step
import acme_shout.words
from acme_shout.words import mark
from acme_shout import words as again
from . import words as relative
import acme_dependency

assert acme_shout.words is again is relative

class Shout(Step, frozen=True):
    outputs: ClassVar[Mapping[str, str]] = {"text": "louder"}

    def run(self, *, text: str) -> Mapping[str, object]:
        return {"text": text.upper() + mark() + acme_dependency.VERSION}
"""
TASK = """
name: shout
description: louder
inputs: {text: {to: shout.text, description: the text}}
components: {shout: {type: acme.shout}}
outputs: {text: shout.text}
"""

MakePlugin = Callable[..., InProcessPlugin]


def provides(
    point: str,
    name: str,
    *,
    object: str | None = None,  # noqa: A002 - as the manifest says
    sources: str | None = None,
    module: str | None = None,
) -> Provides:
    contract = POINTS.get(point).contract
    return Provides(
        point=point, contract=contract, name=name, object=object, sources=sources, module=module
    )


SHOUT = provides("step", "acme.shout", object="acme_shout.step:Shout")


def manifest(*contributions: Provides, version: str = "1.0") -> Manifest:
    return Manifest(
        id="acme.shout",
        name="acme-shout",
        version=version,
        package="acme_shout",
        host_api=">=1.0",
        provides=contributions or (SHOUT,),
    )


def folder_of(root: Path, mark: str, **files: str) -> Path:
    package = root / mark.strip("!") / "acme_shout"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "words.py").write_text(f"def mark():\n    return {mark!r}\n")
    (package / "step.py").write_text(STEP)
    (package.parent / "acme_dependency.py").write_text(f"VERSION = {mark[:2]!r}\n")
    for name, text in files.items():
        (package / name.replace("_dot_", ".")).write_text(text)
    return package.parent


def plugins() -> list[str]:
    return [n for n in sys.modules if n.startswith((f"{ROOT}.", "acme_"))]


def test_a_plugin_serves_while_it_is_registered_and_leaves_nothing(tmp_path: Path) -> None:
    before = (STEPS.names(), TASKS.names(), list(sys.meta_path), list(sys.path))
    folder = folder_of(tmp_path, "v1!", shout_dot_yaml=TASK)
    task = provides("task", "acme-shout", sources="shout.yaml")
    with InProcessPlugin(manifest(SHOUT, task), [folder]) as plugin:
        assert "acme.shout" not in STEPS.names()
        plugin.register()
        plugin.register()
        assert STEPS.entry("acme.shout").owner == "acme.shout"
        result = Pipeline.load("acme-shout").run(text="hey")
        assert result.outputs["text"] == "HEYv1!v1"
        assert not any(name.startswith("acme_") for name in sys.modules)
    assert (STEPS.names(), TASKS.names(), list(sys.meta_path), list(sys.path)) == before
    assert plugins() == []
    plugin.unload()


def test_two_versions_are_side_by_side_and_one_takes_the_others_place(tmp_path: Path) -> None:
    folders = [folder_of(tmp_path, mark) for mark in ("v1!", "v2!")]
    old, new = (InProcessPlugin(manifest(version=f"{n}.0"), [f]) for n, f in enumerate(folders, 1))
    kinds: list[Any] = [plugin.values["step", "acme.shout"] for plugin in (old, new)]
    assert kinds[0] is not kinds[1]
    assert [kind().run(text="")["text"] for kind in kinds] == ["v1!v1", "v2!v2"]
    old.register()
    with pytest.raises(NameTakenError):
        new.register()
    old.revoke()
    new.register()
    old.unload()
    assert STEPS.get("acme.shout")().run(text="")["text"] == "v2!v2"
    assert kinds[0]().run(text="")["text"] == "v1!v1"  # who holds it may finish
    new.unload()
    assert "acme.shout" not in STEPS.names()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("raise ValueError('no')", "ValueError: no"),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        ("import acme_nothing", "No module named 'acme_nothing'"),
        ("from acme_shout import nothing", "cannot import name 'nothing'"),
        ("def f(:", "SyntaxError"),
        ("", "has no attribute 'Shout'"),
    ],
)
def test_a_plugin_that_cannot_be_imported_leaves_nothing(
    tmp_path: Path, text: str, says: str
) -> None:
    before = list(sys.meta_path)
    with pytest.raises(PluginLoadError, match="cannot be imported") as caught:
        InProcessPlugin(manifest(), [folder_of(tmp_path, "v1!", step_dot_py=text)])
    assert says in str(caught.value)
    assert plugins() == []
    assert list(sys.meta_path) == before


def test_a_contribution_that_fails_takes_the_others_with_it(tmp_path: Path) -> None:
    wrong = provides("source", "acme", object="acme_shout.words:__name__")
    with pytest.raises(PluginContributionError):
        InProcessPlugin(manifest(SHOUT, wrong), [folder_of(tmp_path, "v1!")])
    taken = provides("source", "memory", object="acme_shout.words:mark")
    with InProcessPlugin(manifest(SHOUT, taken), [folder_of(tmp_path, "v2!")]) as plugin:
        with pytest.raises(NameTakenError):
            plugin.register()
        assert "acme.shout" not in STEPS.names()
        assert SOURCES.entry("memory").owner == "openautoglm"
    assert plugins() == []


def test_what_cannot_be_run_here_is_refused_in_words(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "v1!")
    old = Provides(point="step", contract=99, name="acme.shout", object="acme_shout.step:Shout")
    with pytest.raises(PluginContributionError, match="another contract"):
        InProcessPlugin(manifest(old), [folder])
    with pytest.raises(PluginLoadError, match="WebAssembly"):
        InProcessPlugin(manifest(provides("step", "acme.w", module="a.wasm")), [folder])
    with pytest.raises(PluginLoadError, match="lacks what its manifest names"):
        InProcessPlugin(manifest(provides("task", "t", sources="no.yaml")), [folder])


OPERATOR = """
from openautoglm import ops

@ops.register
class acme_half(ops.Operator):
    def forward(self, x):
        return x / 2

@acme_half.kernel("slow", device="cpu", language="numpy")
def slow(x, *, out):
    out[...] = x / 2
"""


def test_what_registers_itself_while_it_is_imported_leaves_with_the_plugin(tmp_path: Path) -> None:
    half = provides("operator", "acme_half", object="acme_shout.half:acme_half")
    folder = folder_of(tmp_path, "v1!", half_dot_py=OPERATOR)
    with InProcessPlugin(manifest(half), [folder]) as plugin:
        assert ops.OPERATORS.entry("acme_half").owner.startswith("acme.shout#")
        plugin.register()
        assert float(ops.get("acme_half")(np_one())) == 0.5
    assert "acme_half" not in ops.names()


def np_one() -> Any:  # noqa: ANN401 - an array
    import numpy as np

    return np.ones(())


def test_a_driver_of_a_plugin_is_loaded_from_its_private_module(tmp_path: Path) -> None:
    text = (
        "from openautoglm.platform_io.local import LocalIO\n"
        "class Cloud:\n"
        "    read_file = write_file = get_env = None\n"
        "    def __new__(cls): return LocalIO()\n"
        "    @staticmethod\n"
        "    def refuses(facts): return 'only for tests'\n"
    ).replace("= None", "= staticmethod(print)")
    cloud = provides("driver", "acme.cloud", object="acme_shout.cloud:Cloud")
    folder = folder_of(tmp_path, "v1!", cloud_dot_py=text)
    with InProcessPlugin(manifest(cloud), [folder]) as plugin:
        plugin.register()
        driver: Any = POINTS.get("driver").entries().get("acme.cloud")
        assert type(driver.load()).__name__ == "LocalIO"
    assert "acme.cloud" not in POINTS.get("driver").entries().names()


def rss_kib() -> int:
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS")))


def test_a_hundred_cycles_leave_no_module_no_class_and_no_memory(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "v1!")
    alive: list[weakref.ref[Any]] = []
    sizes: list[int] = []
    for cycle in range(100):
        with InProcessPlugin(manifest(), [folder]) as plugin:
            plugin.register()
            kind: Any = plugin.values["step", "acme.shout"]
            alive.append(weakref.ref(kind))
            module = sys.modules[kind.__module__]
            alive.append(weakref.ref(module))
            kind().run(text="x")
            del kind, module
        if cycle % 20 == 19:
            gc.collect()
            sizes.append(rss_kib())
    assert [ref for ref in alive if ref() is not None] == []
    assert plugins() == []
    assert sizes[-1] - sizes[0] < 2048


def test_code_that_was_forgotten_twice_or_never_used_is_fine(tmp_path: Path) -> None:
    code = PrivateCode("acme.shout", [folder_of(tmp_path, "v1!")])
    mark: Any = code.value("acme_shout.words:mark")
    code.forget()
    code.forget()
    assert mark() == "v1!"
    PrivateCode("acme.shout", []).forget()
    assert plugins() == []
