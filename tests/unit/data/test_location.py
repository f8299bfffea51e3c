from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from openautoglm.data import SINKS, SOURCES, Part, open_sink, open_source
from openautoglm.data.location import read_location, redacted
from openautoglm.errors import DataUrlError, InputNotFoundError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("url", "scheme", "format_", "transport", "path"),
    [
        ("reviews.jsonl", "file", "", "file", "reviews.jsonl"),
        ("/data/a b?.jsonl", "file", "", "file", "/data/a b?.jsonl"),
        ("file:///data/a%20b.jsonl", "file", "", "file", "/data/a b.jsonl"),
        ("jsonl+file://parts/", "jsonl+file", "jsonl", "file", "parts/"),
        ("PARQUET+S3://lake/x?region=eu", "parquet+s3", "parquet", "s3", "lake/x"),
        ("memory://answers", "memory", "", "memory", "answers"),
        (r"C:\data\a.jsonl", "file", "", "file", r"C:\data\a.jsonl"),
        ("csv+http://h/a%20b.csv?t=1", "csv+http", "csv", "http", "h/a%20b.csv?t=1"),
    ],
)
def test_a_url_is_taken_apart(
    url: str, scheme: str, format_: str, transport: str, path: str
) -> None:
    location = read_location(url, {})
    assert (location.scheme, location.format, location.transport, location.path) == (
        scheme,
        format_,
        transport,
        path,
    )


def test_options_come_from_the_url_and_by_keyword_and_the_keyword_wins() -> None:
    location = read_location("memory://a?x=1&y=two", {"x": 2})
    assert location.options == {"x": 2, "y": "two"}


def test_of_a_web_address_everything_before_the_hash_is_the_servers() -> None:
    location = read_location("csv+https://h/a.csv?token=x&y#delimiter=;&types=n:integer", {})
    assert location.path == "h/a.csv?token=x&y"
    assert location.options == {"delimiter": ";", "types": "n:integer"}


@pytest.mark.parametrize("url", ["", " ", "a\0b", "memory://a?b", 3, None])
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(DataUrlError):
        read_location(url, {})


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("jsnl://x", "did you mean `jsonl`"),
        ("rows.xlsx", "ending `.xlsx`"),
        ("jsonl+ftp://lake/x.jsonl", "over `ftp`"),
        ("https://host/folder", "ending ``"),
        ("jsonl+https://host/x.jsonl", "take no output"),
        ("x.jsonl.gz", "not written packed"),
        ("memory://x?size=1", "no option `size`"),
        ("jsonl://", "names no file"),
    ],
)
def test_a_url_nobody_can_open_says_what_there_is(url: str, says: str) -> None:
    with pytest.raises(DataUrlError, match=r"OAG506") as caught:
        open_sink(url)
    assert says in str(caught.value)


def test_an_option_by_keyword_is_checked_too(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("{}\n")
    with pytest.raises(DataUrlError, match="no option `delimiter`"):
        open_source(tmp_path / "a.jsonl", delimiter=";")


def test_a_missing_file_is_an_input_not_found(tmp_path: Path) -> None:
    (tmp_path / "reviews.jsonl").write_text("{}\n")
    with pytest.raises(InputNotFoundError, match="did you mean `reviews"):
        open_source(tmp_path / "revews.jsonl")
    with pytest.raises(InputNotFoundError):
        open_source(f"jsonl+file://{tmp_path}/day-*.jsonl")
    with pytest.raises(InputNotFoundError):
        open_source("memory://nothing")


def test_the_built_in_kinds_belong_to_the_core() -> None:
    for registry in (SOURCES, SINKS):
        assert {"csv", "jsonl", "memory", "parquet"} <= set(registry.names())
    assert {SOURCES.entry(name).owner for name in SOURCES.names()} == {"openautoglm"}


@pytest.mark.parametrize(
    "part", [("", 0, 1), ("a/b", 0, 1), ("a", -1, 1), ("a", 0, 0), (".a", 0, 1)]
)
def test_a_part_has_a_name_that_every_file_system_takes(part: tuple[str, int, int]) -> None:
    with pytest.raises(DataUrlError):
        Part(job=part[0], shard=part[1], attempt=part[2])


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://u:Zq81@db:5432/x?table=t", "postgresql://u:***@db:5432/x?table=t"),
        ("postgresql://u:p@Zq81@db/x", "postgresql://u:***@db/x"),
        ("postgresql://u:p/Zq81@db/x", "postgresql://u:***@db/x"),
        ("postgresql://u:p?Zq81@db/x", "postgresql://u:***@db/x"),
        ("postgresql://u:12/Zq81@db/x", "postgresql://u:12/Zq81@db/x"),  # a port, as far as we know
        ("postgresql://db/x?user=u&password=Zq81", "postgresql://db/x?user=u&password=***"),
        ("s3://b/x?aws_secret_access_key=Zq81&n=1", "s3://b/x?aws_secret_access_key=***&n=1"),
        ("http://h/x?X-Amz-Signature=Zq81", "http://h/x?X-Amz-Signature=***"),
        ("http://h:80/a@b", "http://h:80/a@b"),
        ("jsonl+file:///data/a:b@c", "jsonl+file:///data/a:b@c"),
        ("postgresql://u@db/x", "postgresql://u@db/x"),
        ("rows.jsonl", "rows.jsonl"),
    ],
)
def test_a_url_is_shown_without_its_secrets(url: str, shown: str) -> None:
    assert redacted(url) == shown


@pytest.mark.parametrize(
    "url",
    [
        "nothing://u:Zq81@db/x",
        "memory://u:Zq81@db/x?no_such_option=1",
        "memory://u:p?Zq81@db/x",
        "memory://table?password=Zq81",
    ],
)
def test_a_message_about_a_url_holds_none_of_its_secrets(url: str) -> None:
    with pytest.raises(DataUrlError) as caught:
        open_source(url)
    assert "Zq81" not in str(caught.value)


def test_a_location_is_printed_without_its_secrets() -> None:
    location = read_location("postgresql://u:Zq81@db/x", {"password": "Zq81"})
    assert "Zq81" not in repr(location)
    assert "password" in repr(location)
