from __future__ import annotations

import base64
import os
import sys
from typing import TYPE_CHECKING

import pytest

from openautoglm.data import open_source
from openautoglm.errors import BadRowError, DataUrlError, InputNotFoundError, SourceChangedError

if TYPE_CHECKING:
    from pathlib import Path

PNG = b"\x89PNG\r\n\x1a\n"


def put(folder: Path, name: str, content: bytes = b"text") -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def paths(url: str) -> list[object]:
    return [record.values["path"] for record in open_source(url).read()]


def test_texts_come_in_the_order_of_their_paths_without_hidden_files(tmp_path: Path) -> None:
    for name in ("b.txt", "a/请 1.txt", "a/.hidden.txt", ".git/x.txt", "c.TXT", "d.md"):
        put(tmp_path, name)
    put(tmp_path, "b.txt", b"\xef\xbb\xbfline\r\n")
    assert paths(f"folder://{tmp_path}") == ["a/请 1.txt", "b.txt", "c.TXT"]
    assert paths(f"folder://{tmp_path}?pattern=*.md") == ["d.md"]
    assert paths(f"folder://{tmp_path}?pattern=**/*") == ["a/请 1.txt", "b.txt", "c.TXT", "d.md"]
    records = list(open_source(f"folder://{tmp_path}").read())
    assert records[0].key == "a/请 1.txt"
    assert records[1].values["text"] == "line\r\n"


def test_a_text_in_another_encoding_is_a_bad_row_until_it_is_named(tmp_path: Path) -> None:
    put(tmp_path, "a.txt", "请".encode("gb18030"))
    (record,) = open_source(f"folder://{tmp_path}").read()
    assert isinstance(record.error, BadRowError)
    assert "a.txt: the file is not utf-8 at byte 0" in record.error.problem
    (record,) = open_source(f"folder://{tmp_path}?encoding=gb18030").read()
    assert record.values == {"path": "a.txt", "text": "请"}


def test_images_come_in_base64_with_their_type_by_what_they_are(tmp_path: Path) -> None:
    put(tmp_path, "a.jpg", PNG + b"rest")
    put(tmp_path, "b.png", b"no image")
    put(tmp_path, "c.gif", b"")
    put(tmp_path, "d.webp", b"RIFF\0\0\0\0WEBPVP8 ")
    put(tmp_path, "e.txt")
    good, wrong, empty, webp = open_source(f"folder://{tmp_path}?kind=image").read()
    assert good.values["media_type"] == "image/png"
    assert base64.b64decode(str(good.values["data"])) == PNG + b"rest"
    assert good.values["size_bytes"] == 12
    assert webp.values["media_type"] == "image/webp"
    assert "does not begin as an image" in str(wrong.error)
    assert "an empty file" in str(empty.error)


def test_a_file_that_is_too_large_is_a_bad_row_and_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "a.txt").open("wb") as file:
        file.truncate(1 << 40)  # a hole: no disk has to hold it
    put(tmp_path, "b.txt")
    large, small = open_source(f"folder://{tmp_path}").read()
    assert "more than 67108864" in str(large.error)
    assert small.error is None
    (small, _) = open_source(f"folder://{tmp_path}?max_bytes=3").read()
    assert small.error is not None


def test_a_file_that_was_removed_or_added_is_told(tmp_path: Path) -> None:
    for number in range(6):
        put(tmp_path, f"{number}.txt")
    url = f"folder://{tmp_path}"
    before = open_source(url)
    first, second = before.shards(rows=3)
    fingerprint = before.describe().fingerprint
    (tmp_path / "1.txt").unlink()
    with pytest.raises(InputNotFoundError):
        list(before.read(first))
    after = open_source(url)
    assert after.describe().fingerprint != fingerprint
    with pytest.raises(SourceChangedError, match="of 3 files, has 2 files"):
        next(after.read(first))
    assert len(list(after.read(second))) == 3
    with pytest.raises(SourceChangedError, match="no such file"):
        list(after.read(resume_from="1.txt"))


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_a_name_that_is_no_text_is_a_bad_row(tmp_path: Path) -> None:
    with open(os.fsencode(tmp_path) + b"/a\xff.txt", "wb"):  # noqa: PTH123 - bytes are no Path
        pass
    put(tmp_path, "b.txt")
    source = open_source(f"folder://{tmp_path}")
    bad, good = source.read()
    assert bad.key == r"a\xff.txt"
    assert "is not UTF-8" in str(bad.error)
    assert [r.key for r in source.read(resume_from=bad.position)] == [good.key]


@pytest.mark.parametrize(
    ("option", "error", "says"),
    [
        ("?pattern=../*", DataUrlError, "stays in its folder"),
        ("?pattern=/etc/*", DataUrlError, "stays in its folder"),
        ("?pattern=**x", DataUrlError, "no pattern"),
        ("?pattern=*.md", InputNotFoundError, "pattern="),
        ("?kind=sound", DataUrlError, "text or image"),
        ("?kind=image&encoding=utf-8", DataUrlError, "no encoding"),
        ("?encoding=klingon", DataUrlError, "klingon"),
        ("?encoding=base64", DataUrlError, "base64"),
        ("?max_bytes=many", DataUrlError, "is a number"),
        ("/a.txt", InputNotFoundError, "a folder is named"),
        ("?patern=*", DataUrlError, "did you mean `pattern`"),
    ],
)
def test_a_folder_that_cannot_be_read_so_is_refused(
    tmp_path: Path, option: str, error: type[Exception], says: str
) -> None:
    put(tmp_path, "a.txt")
    with pytest.raises(error, match=says):
        open_source(f"folder://{tmp_path}{option}")
