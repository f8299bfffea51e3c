from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from openautoglm.data import open_source
from openautoglm.data.transports import ranged, web
from openautoglm.errors import (
    DataUrlError,
    InputNotFoundError,
    OpenAutoGLMError,
    PlatformError,
    SourceChangedError,
)

if TYPE_CHECKING:
    from pathlib import Path

    from tests.web_server import WebServer

LINES = b"".join(b'{"n":%d}\n' % n for n in range(50))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OPENAUTOGLM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(web, "PAUSES_S", (0.0, 0.0))
    return tmp_path / "cache" / "fetched"


def numbers(url: str) -> list[object]:
    return [record.values["n"] for record in open_source(url).read()]


def test_a_file_is_read_in_ranges_as_its_rows_are_taken(
    web_server: WebServer, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    monkeypatch.setattr(ranged, "FIRST", 64)
    monkeypatch.setattr(ranged, "BLOCK", 64)
    web_server.files["/a b.jsonl"] = LINES
    source = open_source(web_server.url("/a%20b.jsonl"))
    web_server.asked.clear()
    rows = source.read()
    first = next(rows)
    assert first.key == "a b.jsonl:1"
    assert [span for _, span in web_server.asked] == ["bytes=0-63"]
    assert len(list(rows)) == 49
    web_server.asked.clear()
    assert next(source.read(resume_from="0:350:40")).values == {"n": 40}
    assert [span for _, span in web_server.asked] == ["bytes=349-412"]
    assert not cache.exists()


@pytest.mark.parametrize("says", ["has_tags", "has_lengths", "both"])
def test_a_server_that_gives_no_ranges_is_asked_for_the_file_once(
    web_server: WebServer, says: str, cache: Path
) -> None:
    web_server.has_ranges = False
    web_server.has_tags = says != "has_lengths"
    web_server.has_lengths = says != "has_tags"
    web_server.files["/a.jsonl"] = LINES
    source = open_source(web_server.url("/a.jsonl"))
    before = source.describe().fingerprint
    for _ in range(3):
        assert [r.values["n"] for r in source.read()] == list(range(50))
    assert len(web_server.asked) <= 2
    assert len([p for p in cache.iterdir() if not p.name.startswith("turn-")]) == 1
    assert open_source(web_server.url("/a.jsonl")).describe().fingerprint == before
    web_server.files["/a.jsonl"] = LINES + b'{"n":50}\n'
    assert open_source(web_server.url("/a.jsonl")).describe().fingerprint != before
    assert numbers(web_server.url("/a.jsonl")) == list(range(51))


@pytest.mark.parametrize("has_ranges", [True, False])
def test_a_file_that_changes_while_it_is_read_is_refused(
    web_server: WebServer, *, has_ranges: bool
) -> None:
    web_server.has_ranges = has_ranges
    web_server.files["/a.jsonl"] = LINES
    source = open_source(web_server.url("/a.jsonl"))
    web_server.files["/a.jsonl"] = LINES.replace(b"1", b"2")
    with pytest.raises(SourceChangedError, match=r"`a\.jsonl` changed"):
        list(source.read())


@pytest.mark.parametrize("failures", [[503], [None], [500, None]])
def test_what_may_pass_is_tried_again(web_server: WebServer, failures: list[int | None]) -> None:
    web_server.files["/a.jsonl"] = LINES
    web_server.failures = list(failures)
    source = open_source(web_server.url("/a.jsonl"))
    web_server.failures = list(failures)
    assert len(list(source.read())) == 50


@pytest.mark.parametrize(
    ("failures", "error", "says"),
    [
        ([404], InputNotFoundError, "no such file"),
        ([403], InputNotFoundError, "status 403"),
        ([418], PlatformError, "status 418"),
        ([503, 503, 503], PlatformError, "status 503"),
        ([None, None, None], PlatformError, "cannot be fetched"),
    ],
)
def test_what_a_server_refuses_is_said_without_secrets(
    web_server: WebServer, failures: list[int | None], error: type[Exception], says: str
) -> None:
    web_server.failures = failures
    with pytest.raises(error) as caught:
        open_source(web_server.url("/a.jsonl?token=hunter2"))
    assert says in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_server_that_is_not_there_is_an_error_with_the_address() -> None:
    with pytest.raises(PlatformError, match=r"127\.0\.0\.1:1/a\.jsonl"):
        open_source("http://127.0.0.1:1/a.jsonl")


def test_a_login_in_the_address_is_sent_and_not_shown(web_server: WebServer) -> None:
    web_server.files["/a.jsonl"] = b"{}\n"
    source = open_source(f"http://ann:p%40ss@{web_server.host}/a.jsonl")
    assert web_server.logins == ["Basic YW5uOnBAc3M="]
    assert "p%40ss" not in str(source.describe())


@pytest.mark.parametrize("path", ["/folder/", "/day-*.jsonl"])
def test_servers_have_no_folders_and_no_patterns(web_server: WebServer, path: str) -> None:
    with pytest.raises(DataUrlError, match="no folders"):
        open_source(web_server.url(path, "jsonl"))


def test_an_empty_file_has_no_rows(web_server: WebServer) -> None:
    web_server.files["/a.jsonl"] = b""
    assert list(open_source(web_server.url("/a.jsonl")).read()) == []


def test_an_answer_that_breaks_off_is_no_file(web_server: WebServer, cache: Path) -> None:
    web_server.has_ranges = False
    web_server.files["/a.jsonl"] = LINES
    source = open_source(web_server.url("/a.jsonl"))
    web_server.cut = 10
    with pytest.raises(PlatformError, match="bytes did not come"):
        list(source.read())
    assert [p for p in cache.iterdir() if not p.name.startswith("turn-")] == []
    web_server.cut = 0
    assert len(list(source.read())) == 50


@pytest.mark.parametrize(
    ("status", "headers", "says"),
    [
        (302, {"Location": "ftp://127.0.0.1/a.jsonl"}, "unknown url type: ftp"),
        (302, {"Location": "file:///etc/passwd"}, "only http and https are followed"),
        (302, {"Location": "/a.jsonl"}, "only http and https are followed"),
        (204, {}, "does not send the whole file, but status 204"),
        (206, {"Content-Range": "bytes 0-0/*", "ETag": '"x"'}, "whole file, but status 206"),
        (200, {"Content-Encoding": "gzip", "ETag": '"x"'}, "curl --compressed"),
        (405, {}, "what the server wants to be asked"),
    ],
)
def test_an_answer_that_is_no_file_is_told(
    web_server: WebServer, status: int, headers: dict[str, str], says: str
) -> None:
    web_server.odd = (status, headers)
    with pytest.raises(OpenAutoGLMError, match=says):
        numbers(web_server.url("/a.jsonl"))


def test_an_address_that_is_none_is_told() -> None:
    with pytest.raises(DataUrlError, match="no address"):
        open_source("http://[::1/a.jsonl")
