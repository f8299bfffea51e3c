from __future__ import annotations

import http.server
import threading
from typing import TYPE_CHECKING

import pytest

from openautoglm.data import Part, open_sink, open_source, writing
from openautoglm.data.transports import ranged, s3, s3_target
from openautoglm.data.transports.s3 import Objects
from openautoglm.errors import (
    DataUrlError,
    InputNotFoundError,
    OpenAutoGLMError,
    OutputWriteError,
    PlatformError,
    SinkConflictError,
    SourceChangedError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.s3_server import S3Bucket

LINES = b"".join(b'{"n":%d}\n' % n for n in range(50))


def numbers(url: str) -> list[object]:
    return [record.values["n"] for record in open_source(url).read()]


def test_an_object_a_folder_and_a_pattern_are_sources(s3_bucket: S3Bucket) -> None:
    s3_bucket.put("in/b.jsonl", b'{"n":2}\n')
    s3_bucket.put("in/a.jsonl", b'{"n":1}\n')
    s3_bucket.put("in/.hidden.jsonl", b'{"n":3}\n')
    s3_bucket.put("in/deep/c.jsonl", b'{"n":4}\n')
    s3_bucket.put("in/_SUCCESS", b"")
    assert numbers(s3_bucket.url("jsonl", "in/a.jsonl")) == [1]
    assert numbers(f"s3://{s3_bucket.name}/in/a.jsonl{s3_bucket.options}") == [1]
    assert numbers(s3_bucket.url("jsonl", "in/")) == [1, 2]
    assert numbers(s3_bucket.url("jsonl", "in")) == [1, 2]
    source = open_source(s3_bucket.url("jsonl", "in/**/[bc].jsonl"))
    assert [record.key for record in source.read()] == ["b.jsonl:1", "deep/c.jsonl:1"]
    assert set(source.describe().fingerprint) == {"b.jsonl", "deep/c.jsonl"}


def test_the_endpoint_may_stand_in_the_environment(
    s3_bucket: S3Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_bucket.endpoint)
    s3_bucket.put("a.jsonl", LINES)
    assert len(numbers(f"s3://{s3_bucket.name}/a.jsonl")) == 50


def test_an_object_is_fetched_as_its_rows_are_taken(
    s3_bucket: S3Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranged, "FIRST", 100)
    monkeypatch.setattr(ranged, "BLOCK", 100)
    s3_bucket.put("a.jsonl", LINES)
    source = open_source(s3_bucket.url("jsonl", "a.jsonl"))
    asked: list[object] = []
    call = Objects.call

    def noted(self: Objects, method: str, **arguments: object) -> dict[str, object]:
        asked.append(arguments.get("Range"))
        return call(self, method, **arguments)

    monkeypatch.setattr(Objects, "call", noted)
    rows = source.read()
    next(rows)
    assert asked == ["bytes=0-99"]
    assert len(list(rows)) == 49


def test_an_object_that_changes_while_it_is_read_is_refused(s3_bucket: S3Bucket) -> None:
    s3_bucket.put("a.jsonl", LINES)
    source = open_source(s3_bucket.url("jsonl", "a.jsonl"))
    before = source.describe().fingerprint
    s3_bucket.put("a.jsonl", LINES.replace(b"1", b"2"))
    with pytest.raises(SourceChangedError, match=r"`a\.jsonl` changed"):
        list(source.read())
    assert open_source(s3_bucket.url("jsonl", "a.jsonl")).describe().fingerprint != before


@pytest.mark.parametrize(
    ("key", "says"),
    [("no.jsonl", "no such object"), ("no/", "no such object"), ("no-*.jsonl", "no such object")],
)
def test_what_is_not_in_the_bucket_is_named(s3_bucket: S3Bucket, key: str, says: str) -> None:
    with pytest.raises(InputNotFoundError, match=says):
        open_source(s3_bucket.url("jsonl", key))


def test_a_bucket_that_is_not_there_is_named(s3_bucket: S3Bucket) -> None:
    url = f"jsonl+s3://no-such-bucket-here/a.jsonl{s3_bucket.options}"
    with pytest.raises(InputNotFoundError, match="no such bucket"):
        open_source(url)
    with pytest.raises(OutputWriteError, match="create the bucket"):
        open_sink(url)


def test_a_service_that_is_not_there_is_said(
    s3_bucket: S3Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    del s3_bucket  # for its credentials
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(PlatformError, match="endpoint"):
        open_source("jsonl+s3://lake/a.jsonl?endpoint=http://127.0.0.1:1&region=us-east-1")


def test_options_that_s3_does_not_have_are_refused(s3_bucket: S3Bucket) -> None:
    with pytest.raises(DataUrlError, match="did you mean `endpoint`"):
        open_source(s3_bucket.url("jsonl", "a.jsonl") + "&endpont=x")


def test_of_two_attempts_the_first_that_commits_stays(s3_bucket: S3Bucket) -> None:
    url = s3_bucket.url("jsonl", "out/")
    slow, fast = (open_sink(url, part=Part(job="j", shard=0, attempt=n)) for n in (1, 2))
    slow.write([{"by": "slow"}])
    fast.write([{"by": "fast"}])
    receipt = fast.commit()
    with pytest.raises(SinkConflictError, match="another attempt"):
        slow.commit()
    assert slow.committed() == receipt
    slow.abort()
    assert s3_bucket.get("out/j-000000.jsonl") == b'{"by":"fast"}\n'
    assert receipt.url == f"s3://{s3_bucket.name}/out/j-000000.jsonl"


def test_an_answer_that_is_lost_does_not_make_an_attempt_its_own_rival(
    s3_bucket: S3Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = open_sink(s3_bucket.url("jsonl", "out/"), part=Part(job="j", shard=0))
    sink.write([{"n": 1}])
    call = Objects.call

    def twice(self: Objects, method: str, **arguments: object) -> dict[str, object]:
        if method == "put_object":
            call(self, method, **arguments)  # the service took it; its answer did not arrive
        return call(self, method, **arguments)

    monkeypatch.setattr(Objects, "call", twice)
    assert sink.commit().rows == 1


def test_large_files_go_up_in_pieces_that_nobody_sees_and_that_are_taken_back(
    s3_bucket: S3Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_target, "PIECE", 5 << 20)
    rows = [{"n": n, "t": "x" * 100_000} for n in range(120)]
    url = s3_bucket.url("jsonl", "out/")
    sinks = [open_sink(url, part=Part(job="j", shard=0, attempt=n)) for n in (1, 2)]
    for sink in sinks:
        sink.write(rows)
    receipt = sinks[0].commit()
    assert len(s3_bucket.get("out/j-000000.jsonl")) == receipt.size_bytes > 10 << 20
    with pytest.raises(SinkConflictError):
        sinks[1].commit()
    sinks[1].abort()
    assert s3_bucket.uploads() == 0
    assert numbers(url) == list(range(120))


def test_a_whole_output_replaces_what_was_there(s3_bucket: S3Bucket) -> None:
    url = s3_bucket.url("csv", "answers.csv")
    for number in (1, 2):
        with writing(open_sink(url)) as sink:
            sink.write([{"n": number}])
    assert s3_bucket.get("answers.csv") == b"n\r\n2\r\n"
    assert s3_bucket.keys() == ["answers.csv"]


def test_a_part_that_another_program_put_is_counted(s3_bucket: S3Bucket) -> None:
    s3_bucket.put("out/j-000000.jsonl", LINES)
    sink = open_sink(s3_bucket.url("jsonl", "out/"), part=Part(job="j", shard=0))
    found = sink.committed()
    sink.abort()
    assert found is not None
    assert (found.rows, found.size_bytes) == (50, len(LINES))


class Refusing(http.server.BaseHTTPRequestHandler):
    """A service that answers with the status that a path names, and has no bucket."""

    def answer(self) -> None:
        named = self.path.split("/")[2:3]
        status = int(named[0]) if named else 404
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_HEAD = do_PUT = answer  # noqa: N815 - the names of http.server

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def refusing(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Options that reach a service that refuses; credentials are those of the tests' server."""
    del s3_endpoint
    monkeypatch.setattr(s3, "ASKED", 1)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"?endpoint=http://127.0.0.1:{server.server_address[1]}&region=us-east-1"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    ("status", "says"),
    [(403, "check its rights"), (404, "no such bucket"), (503, "try again later|endpoint")],
)
def test_a_service_that_refuses_is_told(refusing: str, status: int, says: str) -> None:
    with pytest.raises(OpenAutoGLMError, match=says):
        open_source(f"jsonl+s3://lake/{status}/a.jsonl{refusing}")


def test_an_endpoint_that_is_no_address_is_told() -> None:
    with pytest.raises(DataUrlError, match=r"as in \?endpoint=https://"):
        open_source("jsonl+s3://lake/a.jsonl?endpoint=host:9000")
