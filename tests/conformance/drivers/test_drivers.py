"""One suite over every platform driver, and over broken ones."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from openautoglm.errors import NoOwnerError, PluginContributionError, UnknownNameError
from openautoglm.platform_io import Driver, detect
from openautoglm.platform_io.local import LocalIO
from openautoglm.plugins.drivers import DRIVERS
from openautoglm.plugins.points import POINTS
from openautoglm.registry import owned_by
from openautoglm.testing import prove

if TYPE_CHECKING:
    from openautoglm.platform_io import Facts
    from openautoglm.platform_io.interface import FilePath


@pytest.mark.parametrize("name", ["local", "emscripten", "wasi"])
def test_a_built_in_driver_keeps_the_contract(name: str) -> None:
    findings = list(POINTS.get("driver").findings(lambda: DRIVERS.get(name), {"name": name}))
    failed = [finding for finding in findings if finding.status == "fail"]
    assert not failed, "\n".join(map(str, failed))
    asked = {finding.row for finding in findings if finding.status == "pass"}
    assert (asked == {"driver.chooses"}) == (name != "local")


def on_linux(facts: Facts) -> str | None:
    return None if facts.sys_platform == "linux" else f"this is {facts.sys_platform}"


class Good:
    """A driver of a plugin; the broken ones below change one thing each."""

    refuses = staticmethod(on_linux)

    def __init__(self) -> None:
        self.inner = LocalIO()

    def read_file(self, path: FilePath) -> bytes:
        return self.inner.read_file(path)

    def write_file(self, path: FilePath, data: bytes) -> None:
        self.inner.write_file(path, data)

    def get_env(self, key: str, default: str = "") -> str:
        return self.inner.get_env(key, default)


class TakesEverything(Good):
    @staticmethod
    def refuses(facts: Facts) -> str | None:
        del facts
        return None


class RefusesSilently(Good):
    @staticmethod
    def refuses(facts: Facts) -> str | None:
        return "" if facts.sys_platform != "linux" else None


class NeedsArguments(Good):
    def __init__(self, region: str) -> None:
        self.region = region


class TextMode(Good):
    def read_file(self, path: FilePath) -> bytes:
        return super().read_file(path).replace(b"\r\n", b"\n")


class Appends(Good):
    def write_file(self, path: FilePath, data: bytes) -> None:
        self.inner.write_file(path, b"")
        before = b"" if not Path(path).exists() else self.kept.get(os.fspath(path), b"")
        self.kept[os.fspath(path)] = before + data
        self.inner.write_file(path, before + data)

    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[str, bytes] = {}


class RaisesBareErrors(Good):
    def read_file(self, path: FilePath) -> bytes:
        return Path(path).read_bytes()


class TakesAnyKey(Good):
    def get_env(self, key: str, default: str = "") -> str:
        return os.environ.get(key.replace("\0", ""), default)


class WritesInPieces(Good):
    def write_file(self, path: FilePath, data: bytes) -> None:
        super().write_file(path, data)
        with Path(path).open("wb") as file:
            for start in range(0, len(data), 4096):
                file.write(data[start : start + 4096])
                file.flush()


class Named:
    point = "driver"
    contract = 1

    def __init__(self, name: str = "acme.cloud") -> None:
        self.name = name


def test_a_good_driver_of_a_plugin_passes() -> None:
    findings = prove("driver", Good, name="good")
    assert {finding.status for finding in findings} == {"pass"}


@pytest.mark.parametrize(
    ("driver", "row"),
    [
        (TakesEverything, "driver.chooses"),
        (RefusesSilently, "driver.chooses"),
        (NeedsArguments, "driver.loads"),
        (TextMode, "driver.bytes"),
        (Appends, "driver.replaces"),
        (RaisesBareErrors, "driver.missing"),
        (RaisesBareErrors, "driver.paths"),
        (TakesAnyKey, "driver.environment"),
        (WritesInPieces, "driver.threads"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_broken_driver_is_caught_by_the_row_that_should(driver: type, row: str) -> None:
    made = POINTS.get("driver").adopted(driver, Named())
    failed = {f.row: f for f in POINTS.get("driver").findings(lambda: made) if f.status == "fail"}
    assert row in failed
    assert failed[row].measured


def test_a_driver_belongs_to_its_plugin_and_leaves_with_it() -> None:
    point = POINTS.get("driver")
    made = point.adopted(Good, Named())
    with pytest.raises(NoOwnerError):
        point.entries().add("acme.cloud", made)
    with owned_by("acme"):
        point.entries().add("acme.cloud", made)
    assert "acme.cloud" in point.entries().names()
    assert isinstance(detect(), Good)
    assert point.entries().revoke("acme") == ("acme.cloud",)
    assert isinstance(detect(), LocalIO)
    with pytest.raises(UnknownNameError):
        point.entries().get("acme.cloud")


class Nothing:
    pass


class Outer:
    class Inner(Good):
        pass


@pytest.mark.parametrize(
    "value", [Nothing, Good(), Outer.Inner, Driver(name="x", home="a:B", refuses=on_linux), None]
)
def test_what_is_no_driver_is_not_adopted(value: object) -> None:
    with pytest.raises(PluginContributionError):
        POINTS.get("driver").adopted(value, Named())
