"""Archives that can be read in two ways are refused; those that are taken read as zipfile reads."""

from __future__ import annotations

import base64
import hashlib
import io
import struct
import warnings
import zipfile
import zlib
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openautoglm.plugins.manifest import FILE_NAME
from openautoglm.plugins.signing.archive import CHUNK, members_of
from openautoglm.plugins.signing.package import parse
from openautoglm.plugins.signing.reason import CODES, Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping


def zipped(files: Mapping[str, bytes], *, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def read(data: bytes) -> dict[str, bytes]:
    members = members_of(data)
    return {name: b"".join(member.chunks(data)) for name, member in members.items()}


def code(data: bytes) -> str:
    with pytest.raises(Refusal) as caught:
        read(data)
    return caught.value.reason.code


NAMES = st.text(st.characters(categories=["L", "N"], max_codepoint=0x2FF), min_size=1, max_size=12)


@given(
    files=st.dictionaries(NAMES, st.binary(max_size=300), max_size=5),
    method=st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]),
)
def test_what_zipfile_writes_is_read_or_has_names_that_meet(
    files: dict[str, bytes], method: int
) -> None:
    data = zipped(files, method=method)
    try:
        assert read(data) == files
    except Refusal as refusal:
        assert refusal.reason.code in {"name-twice", "member-name"}  # noqa: PT017 - either is right


@settings(max_examples=400, deadline=None)
@given(
    files=st.dictionaries(NAMES, st.binary(max_size=60), min_size=1, max_size=3),
    changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.binary(max_size=3))),
)
def test_a_damaged_archive_is_refused_or_reads_as_zipfile_reads_it(
    files: dict[str, bytes], changes: list[tuple[float, bytes]]
) -> None:
    data = bytearray(zipped(files))
    for position, patch in changes:
        at = int(position * len(data))
        data[at : at + len(patch)] = patch
    try:
        taken = read(bytes(data))
    except Refusal as refusal:
        assert refusal.reason.code in CODES  # noqa: PT017 - either end is right
        return
    with warnings.catch_warnings(), zipfile.ZipFile(io.BytesIO(data)) as archive:
        warnings.simplefilter("error")
        assert taken == {name: archive.read(name) for name in archive.namelist()}


@given(data=st.binary(max_size=200))
def test_any_bytes_are_an_archive_or_refused(data: bytes) -> None:
    try:
        members_of(data)
    except Refusal as refusal:
        assert refusal.reason.code in CODES  # noqa: PT017 - either end is right


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 7])
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_content_of_any_size_is_read_whole(size: int, method: int) -> None:
    content = bytes(zlib.crc32(bytes([n % 251])) % 256 for n in range(1000)) * (size // 1000 + 1)
    assert read(zipped({"a": content[:size]}, method=method)) == {"a": content[:size]}


def test_a_streamed_archive_is_read() -> None:
    class Pipe(io.RawIOBase):
        """Bytes that can only be added to."""

        def __init__(self) -> None:
            self.data = b""

        def writable(self) -> bool:
            return True

        def write(self, data: object) -> int:
            self.data += bytes(data)  # type: ignore[call-overload] # a buffer, as RawIOBase says
            return len(bytes(data))  # type: ignore[call-overload] # the same

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", b"streamed")
        archive.writestr("b/c", b"")
    assert read(pipe.data) == {"a": b"streamed", "b/c": b""}
    damaged = pipe.data.replace(b"PK\7\x08", b"PK\7\x09", 1)
    assert code(damaged) == "member-header"


def test_folders_are_no_files_but_their_names_count() -> None:
    data = zipped({"a/": b"", "a/b": b"x"})
    assert read(data) == {"a/b": b"x"}
    assert code(zipped({"a": b"", "a/": b""})) == "name-twice"
    assert code(zipped({"A/": b"", "a/b": b""})) == "name-twice"
    assert code(zipped({"a": b"", "a/b": b""})) == "name-twice"
    assert code(zipped({"a/b": b"", "a": b""})) == "name-twice"


def test_bytes_after_the_end_of_packed_content_are_refused() -> None:
    whole = zipped({"a": b"content"})
    packed = struct.unpack_from("<L", whole, 18)[0]
    more = whole[: 31 + packed] + b"hidden" + whole[31 + packed :]
    patched = bytearray(more)
    struct.pack_into("<L", patched, 18, packed + 6)
    central = patched.index(b"PK\1\2")
    struct.pack_into("<L", patched, central + 20, packed + 6)
    struct.pack_into("<L", patched, len(patched) - 6, central)
    with zipfile.ZipFile(io.BytesIO(patched)) as archive:
        assert archive.read("a") == b"content"
    assert code(bytes(patched)) == "stray-bytes"


def test_two_entries_of_one_member_are_refused() -> None:
    whole = zipped({"a": b"content"})
    central = whole.index(b"PK\1\2")
    entry = whole[central:-22]
    other = entry.replace(b"a", b"b")
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 2, 2, len(entry) * 2, central, 0)
    assert code(whole[:central] + entry + other + end) == "stray-bytes"


@pytest.mark.parametrize(
    "text",
    [b"", b"[]", b"\xff", b'{"a":' * 100_000, b"[" * 100_000, b'{"schema": 1' + b"\0" * 10],
)
def test_a_manifest_that_is_none_is_refused(text: bytes) -> None:
    record = "a-1.dist-info/RECORD"
    files = {f"a/{FILE_NAME}": text}
    row = base64.urlsafe_b64encode(hashlib.sha256(text).digest())
    files[record] = f"a/{FILE_NAME},sha256={row.decode()[:43]},\n{record},,\n".encode()
    with pytest.raises(Refusal) as caught:
        parse(zipped(files), name="a.whl")
    assert caught.value.reason.code == "manifest"
