"""What must hold inside a WebAssembly runtime; runs there, on the package's own source.

Plain asserts and a JSON report, because no test runner is there.
"""

from __future__ import annotations

import json
import sys
import traceback
from pathlib import Path

from openautoglm.errors import InputNotFoundError, OutputWriteError, PlatformError
from openautoglm.platform_io import PlatformIO, detect, explain, replacing
from openautoglm.prompts.template import PromptTemplate


def the_platforms_own_driver_is_chosen_and_no_other_imported(io: PlatformIO, _: Path) -> None:
    choice = explain()
    assert choice.driver.name == sys.platform, str(choice)
    assert type(io).__module__ == f"openautoglm.platform_io.{sys.platform}"
    others = {"emscripten", "wasi", "local", "memory"} - {sys.platform}
    imported = {name for name in others if f"openautoglm.platform_io.{name}" in sys.modules}
    assert not imported, imported
    assert detect() is io


def what_was_written_is_read(io: PlatformIO, folder: Path) -> None:
    for data in (bytes(range(256)) * 1000, b"short", b""):
        io.write_file(folder / "数据 🎈.bin", data)
        assert io.read_file(folder / "数据 🎈.bin") == data


def a_reader_keeps_the_version_it_opened(io: PlatformIO, folder: Path) -> None:
    io.write_file(folder / "a", b"old version")
    with (folder / "a").open("rb") as reader:
        io.write_file(folder / "a", b"new")
        assert reader.read() == b"old version"
    assert io.read_file(folder / "a") == b"new"


def a_failed_write_leaves_nothing_beside_the_old_content(io: PlatformIO, folder: Path) -> None:
    (folder / "taken").mkdir()
    io.write_file(folder / "taken" / "a", b"old")
    before = sorted(entry.name for entry in folder.iterdir())
    try:  # the rename over a folder fails when the new content is written already
        replacing._replace(folder / "taken", b"new", None, replacing.Abilities())
    except OSError:
        pass
    else:
        raise AssertionError("a file replaced a folder")
    assert sorted(entry.name for entry in folder.iterdir()) == before
    assert io.read_file(folder / "taken" / "a") == b"old"


def refusals_name_the_path_and_the_fix(io: PlatformIO, folder: Path) -> None:
    io.write_file(folder / "summary.txt", b"x")
    error = _raised(InputNotFoundError, lambda: io.read_file(folder / "sumary.txt"))
    assert "did you mean `summary.txt`?" in str(error), error
    error = _raised(OutputWriteError, lambda: io.write_file(folder / "no" / "a", b"x"))
    assert "create the folder first; inside" in str(error), error
    error = _raised(OutputWriteError, lambda: io.write_file(folder, b"x"))
    assert "a folder has this name" in str(error), error
    error = _raised(InputNotFoundError, lambda: io.read_file(folder))
    assert "a folder, not a file" in str(error), error
    _raised(PlatformError, lambda: io.read_file("a\0b"))


def the_environment_is_the_one_the_host_passed(io: PlatformIO, _: Path) -> None:
    assert io.get_env("OAG_WASM") == "值 🎈"
    assert io.get_env("OAG_UNSET") == ""
    assert io.get_env("OAG_UNSET", "default") == "default"


def a_template_renders_as_elsewhere(_: PlatformIO, __: Path) -> None:
    template = PromptTemplate("请根据以下内容生成摘要:{content}", ["content"])
    assert template.format(content="{正文}🎈") == "请根据以下内容生成摘要:{正文}🎈"


def the_host_finds_this_file(io: PlatformIO, folder: Path) -> None:
    io.write_file(folder / "from-inside.txt", f"written on {sys.platform}".encode())


CHECKS = (
    the_platforms_own_driver_is_chosen_and_no_other_imported,
    what_was_written_is_read,
    a_reader_keeps_the_version_it_opened,
    a_failed_write_leaves_nothing_beside_the_old_content,
    refusals_name_the_path_and_the_fix,
    the_environment_is_the_one_the_host_passed,
    a_template_renders_as_elsewhere,
    the_host_finds_this_file,
)


def report(platform: str, *, folders: list[str]) -> str:
    """Run every check in every folder; return {"check in folder": "passed" or a traceback}."""
    if sys.platform != platform:
        raise RuntimeError(f"runs on {sys.platform}, not on {platform}")
    results = {}
    for folder in folders:
        for check in CHECKS:
            try:
                check(detect(), Path(folder))
            except Exception:  # noqa: BLE001 - whatever happened is the report
                results[f"{check.__name__} in {folder}"] = traceback.format_exc()
            else:
                results[f"{check.__name__} in {folder}"] = "passed"
    return json.dumps(results)


def _raised(kind: type[Exception], act: object) -> Exception:
    assert callable(act)
    try:
        act()
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__}")
