"""`oag doctor`: what this machine has, which backends can run on it, and what plugins bring."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from openautoglm.cli.machine import Machine, Memory
    from openautoglm.plugins.contributions import Contribution


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> int:
    """Say what this machine has, which backends can run, and how to fix those that cannot.

    Imports no model package and no plugin: versions are read from the packages' metadata, and what
    installed plugins bring from their manifests.
    """
    import json

    from openautoglm.cli.backends import examine_backends
    from openautoglm.cli.exits import Exit
    from openautoglm.cli.machine import look

    machine = look()
    backends = examine_backends(machine)
    if as_json:
        typer.echo(json.dumps(as_data(machine, backends), indent=2, ensure_ascii=False))
    else:
        for label, text in _lines(machine, backends):
            typer.echo(f"{label:<12} {text}")
    return Exit.OK if any(fix is None for fix in backends.values()) else Exit.MACHINE


def as_data(machine: Machine, backends: Mapping[str, str | None]) -> Mapping[str, object]:
    """Return the report as JSON values; memory in bytes."""
    from dataclasses import asdict

    from openautoglm import __version__

    return {
        "openautoglm": __version__,
        **asdict(machine),
        "platform": _platform_driver(),
        "settings": _settings(),
        "backends": {
            name: {"available": lacks is None, "lacks": lacks} for name, lacks in backends.items()
        },
        "plugins": [asdict(each) for each in _plugins()[0]],
    }


def _lines(machine: Machine, backends: Mapping[str, str | None]) -> Iterator[tuple[str, str]]:
    from openautoglm import __version__
    from openautoglm.cli.machine import gib

    yield "openautoglm", __version__
    yield "system", machine.system
    yield "python", machine.python
    processor = machine.processor
    yield "processor", f"{processor.name}, {processor.usable} cores usable"
    yield "", " ".join(processor.flags) or "flags not known on this system"
    yield "memory", _memory(machine.memory)
    yield "graphics", machine.graphics_note if not machine.graphics else ""
    for card in machine.graphics:
        yield "", f"{card.name}, {gib(card.memory)}, driver {card.driver}"
    yield from _package_lines(machine)
    yield "platform", _platform_driver()
    yield "kernels", _kernels()
    for name, value in _settings().items():
        yield "setting", f"{name} = {value}"
    for name, lacks in backends.items():
        yield "backend", f"{name}: {lacks or 'available'}"
    found, trouble = _plugins()
    for each in found:
        yield "plugin", f"{each.point} {each.name}: {each}"
    if trouble:
        yield "plugin", trouble


def _plugins() -> tuple[Sequence[Contribution], str]:
    """Return what installed plugins bring, or why nobody knows."""
    from openautoglm.errors import PluginStoreError
    from openautoglm.plugins.contributions import contributions

    try:
        return contributions(), ""
    except PluginStoreError as error:
        return (), f"{error.problem}: {error.got}"


def _package_lines(machine: Machine) -> Iterator[tuple[str, str]]:
    for package in machine.packages:
        origin = f" [{package.extra}]" if package.extra else ""
        missing = f'missing: pip install "openautoglm[{package.extra}]"'
        yield "package", f"{package.name}{origin} {package.version or missing}"
    torch = next((p.version for p in machine.packages if p.name == "torch"), None)
    if machine.graphics and torch and torch.endswith("+cpu"):
        yield "", "this torch cannot use the graphics card: install a CUDA build of it"


def _memory(memory: Memory) -> str:
    from openautoglm.cli.machine import gib

    limit = f", limited to {gib(memory.limit)}" if memory.limit else ""
    return f"{gib(memory.available)} available of {gib(memory.total)}{limit}"


def _platform_driver() -> str:
    from openautoglm.platform_io import explain

    return explain().driver.name


def _kernels() -> str:
    import shutil

    from openautoglm.native.cells import no_direct_calls, unavailable

    compilers = ", ".join(name for name in ("g++", "nvcc") if shutil.which(name)) or "no compiler"
    lacks = unavailable()
    slow = None if lacks else no_direct_calls()
    core = "native core" + (f" without direct calls: {slow}" if slow else "")
    return f"{f'Python only: {lacks}' if lacks else core}; {compilers} to build others"


def _settings() -> Mapping[str, str]:
    import os

    from openautoglm.settings import Settings

    settings = Settings.from_env(os.environ)
    return {
        "OPENAUTOGLM_MODEL": settings.model or "(unset: nano)",
        "OPENAUTOGLM_PROMPTS": str(settings.prompts_dir),
    }
