"""A package of the host is a peer: a range over the host's copy, and no copy of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from msgspec import structs

from openautoglm.errors import PluginPeerError
from openautoglm.plugins import peers
from openautoglm.plugins.manifest import API_VERSION, Manifest, Provides

if TYPE_CHECKING:
    from collections.abc import Mapping

HOST = peers.Host(
    versions={"openautoglm": "0.1", "numpy": "2.4.6", "torch": "2.13.0+cpu", "attrs": "26.1.0"},
    own={"openautoglm", "numpy", "torch"},
    python="3.11.7",
)
PLAIN = Manifest(
    id="acme.x",
    name="acme-x",
    version="1.0",
    package="acme_x",
    host_api=">=1.0,<2",
    provides=(Provides(point="step", contract=1, name="acme.x", object="acme_x.step:X"),),
)


def rules(**changes: Any) -> list[str]:  # noqa: ANN401 - fields of the manifest
    found = peers.misfits(structs.replace(PLAIN, **changes), HOST)
    for each in found:
        assert each.problem
        assert each.got
        assert each.fix
    return [each.rule for each in found]


@pytest.mark.parametrize(
    "ranges",
    [
        {},
        {"numpy": ">=2"},
        {"NumPy": "*"},
        {"torch": ">=2.10"},
        {"torch": ""},
        {"numpy": "==2.4.*"},
    ],
)
def test_a_range_the_hosts_copy_is_in_fits(ranges: Mapping[str, str]) -> None:
    assert rules(peers=ranges) == []


@pytest.mark.parametrize(
    ("ranges", "told"),
    [
        ({"numpy": "<2"}, "another `numpy`"),
        ({"numpy": "new"}, "is none"),
        ({"numpy": ">=2,"}, ""),
        ({"jax": ">=1"}, "not installed"),
    ],
)
def test_a_range_the_hosts_copy_is_not_in_is_told(ranges: Mapping[str, str], told: str) -> None:
    found = peers.misfits(structs.replace(PLAIN, peers=ranges), HOST)
    assert [told in each.problem for each in found] == ([True] if told else [])


@pytest.mark.parametrize(
    ("wanted", "fits"),
    [
        (f"=={API_VERSION}", True),
        (">=1,<2", True),
        (">=2", False),
        ("<1", False),
        ("", False),
        ("1.0", False),
        ("*", False),
        ("~" * 100, False),
    ],
)
def test_the_host_api_is_a_range_this_host_is_in(wanted: str, *, fits: bool) -> None:
    assert rules(host_api=wanted) == ([] if fits else ["host-api"])


@pytest.mark.parametrize(("wanted", "fits"), [("", True), (">=3.11", True), (">=3.12", False)])
def test_python_is_in_the_range(wanted: str, *, fits: bool) -> None:
    assert rules(requires_python=wanted) == ([] if fits else ["python"])


@pytest.mark.parametrize(
    "wanted",
    [
        "numpy>=2",
        "NumPy",
        "torch==2.13.0",
        "openautoglm",
        "openautoglm[ops]>=0.1",
        "numpy ; python_version>'3'",
    ],
)
def test_what_the_host_brings_is_no_dependency(wanted: str) -> None:
    assert rules(dependencies=(wanted,)) == ["dependency"]


def test_a_peer_is_no_dependency_though_the_host_does_not_need_it() -> None:
    assert rules(dependencies=("attrs",), peers={"attrs": "*"}) == ["dependency"]


@pytest.mark.parametrize(
    ("wanted", "fits"),
    [
        ("idna>=3", True),
        ("attrs>=20", True),
        ("attrs<20", False),
        ("idna @ https://example.org/idna.whl", False),
        ("not a name", False),
        ("", False),
        ("../x", False),
    ],
)
def test_a_dependency_is_a_name_whose_installed_copy_fits(wanted: str, *, fits: bool) -> None:
    assert rules(dependencies=(wanted,)) == ([] if fits else ["dependency"])


@pytest.mark.parametrize("package", ["json", "openautoglm", "numpy"])
def test_a_package_hides_none_that_is_there(package: str) -> None:
    changed = structs.replace(
        PLAIN,
        package=package,
        provides=(structs.replace(PLAIN.provides[0], object=f"{package}.x:Y"),),
    )
    assert [each.rule for each in peers.misfits(changed, HOST)] == ["package"]


def test_a_plugin_does_not_take_the_name_of_what_the_host_brings() -> None:
    changed = structs.replace(PLAIN, name="NumPy")
    assert [each.rule for each in peers.misfits(changed, HOST)] == ["package"]


@pytest.mark.parametrize(
    ("name", "copy"),
    [
        ("acme_x/_vendor/numpy/__init__.py", "numpy"),
        ("acme_x/third_party/torch/_C.so", "torch"),
        ("acme_x/vendored/attrs/x.py", None),
        ("acme_x/vendors/numpy.py/x", "numpy.py"),
        ("acme_x/numpy/__init__.py", None),
        ("acme_x/deps/numpy-2.0.dist-info/METADATA", "numpy"),
        ("acme_x/step.py", None),
    ],
)
def test_a_copy_of_a_host_package_is_found(name: str, copy: str | None) -> None:
    found = peers.vendored([name], PLAIN, HOST)
    assert [copy in each.problem if copy else True for each in found] == ([True] if copy else [])


def test_an_error_says_the_first_reason_and_how_many_more() -> None:
    wrong = structs.replace(PLAIN, host_api=">=2", peers={"numpy": "<2", "jax": "*"})
    with pytest.raises(PluginPeerError, match=r"another host API; and 2 more"):
        peers.demand(wrong, host=HOST)
    peers.demand(PLAIN, host=HOST)


def test_this_host_knows_what_it_needs_itself() -> None:
    host = peers.Host()
    assert {"openautoglm", "msgspec", "numpy", "typer"} <= host.own
    assert "pytest" not in host.own
    assert host.version("no-such-thing") is None
    assert host.owner_of("msgspec") == "msgspec"
    assert host.owner_of("msgspec", besides="MsgSpec") is None
    assert host.owner_of("no_such_thing") is None
