"""What a machine offers to a cluster, and the command that makes it a node."""

from __future__ import annotations

import socket

import pytest

from openautoglm.errors import ClusterError, InvalidParameterError
from openautoglm.jobs.cluster.devices import advertised
from openautoglm.jobs.cluster.joining import start_command
from openautoglm.platform_io import Device, Driver, add_driver, remove_driver
from openautoglm.platform_io.memory import MemoryIO

CAMERAS = [Device(kind="camera", path=f"/dev/video{n}") for n in (0, 2)]


class WithCameras(MemoryIO):  # type: ignore[misc] # a driver is a class without arguments
    """A platform with two cameras."""

    def __init__(self) -> None:
        super().__init__(devices=CAMERAS)


def test_the_devices_of_the_platform_are_counted_by_kind() -> None:
    add_driver(Driver(name="cameras", home=f"{__name__}:WithCameras", refuses=lambda _: None))
    try:
        assert advertised() == {"oag-camera": 2}
    finally:
        remove_driver("cameras")


def test_what_is_named_wins_over_what_was_found_and_nothing_of_it_is_left_out() -> None:
    assert advertised(["oag-camera=1", "oag-scale=2"], CAMERAS) == {"oag-camera": 1, "oag-scale": 2}
    assert advertised(["oag-camera=0"], CAMERAS) == {}


@pytest.mark.parametrize(
    ("text", "fix"),
    [
        ("oag-camera", "as in oag-camera=2"),
        ("=1", "as in oag-camera=2"),
        ("oag-camera=-1", "as in oag-camera=2"),
        ("oag-camera=half", "as in oag-camera=2"),
        ("GPU=1", "pass it on: -- --num-gpus=1"),
        ("node:10.0.0.1=1", "choose another name"),
    ],
)
def test_a_resource_that_cannot_be_is_refused(text: str, fix: str) -> None:
    with pytest.raises(InvalidParameterError) as caught:
        advertised([text], [])
    assert caught.value.got == text
    assert caught.value.fix == fix


def test_the_command_of_a_node_names_head_devices_and_what_else_is_given() -> None:
    command = start_command("head", ["oag-scale=1"], ["--num-cpus", "4"], check=False)
    assert command[:3] == ["ray", "start", "--address=head:6379"]
    assert '"oag-scale": 1' in command[3]
    assert command[4:] == ["--block", "--num-cpus", "4"]
    assert "--block" not in start_command("head:7", [], [], background=True, check=False)
    assert "--address=[::1]:7" in start_command("[::1]:7", [], [], check=False)


def test_a_node_does_not_join_by_the_port_of_clients() -> None:
    with pytest.raises(InvalidParameterError, match="head's own port"):
        start_command("ray://head:10001", [], [], check=False)


def test_a_head_that_is_not_there_is_told_before_anything_is_started() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(ClusterError, match=f"127.0.0.1:{port}"):
        start_command(f"127.0.0.1:{port}", [], [])
