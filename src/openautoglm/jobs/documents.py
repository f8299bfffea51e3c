"""Files of YAML documents that describe something, and the envelope that each of them has.

Owns `read_file`, `documents_of` and `opened`. Knows no kind of document.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from openautoglm.errors import InputNotFoundError, JobSpecError
from openautoglm.errors import PipelineSyntaxError as NoYamlError
from openautoglm.pipeline.document import Document
from openautoglm.pipeline.nodes import read_documents
from openautoglm.registry import suggest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from openautoglm.errors import OpenAutoGLMError
    from openautoglm.pipeline.spec import Path as Way

API_VERSION: Final = "openautoglm/v1"
ENVELOPE: Final = ("apiVersion", "kind", "metadata", "spec")
MAX_BYTES: Final = 1_000_000
STDIN: Final = "-"
SPEC: Final[Way] = ("spec",)


def read_file(path: str) -> tuple[list[Document], Path]:
    """Read all documents of a file, `-` is standard input; return the folder of the file too.

    Raises:
        InputNotFoundError: it cannot be opened.
        JobSpecError: it is too large, no UTF-8, no YAML, or holds nothing.
    """
    name, folder = (path, Path(path).parent) if path != STDIN else ("<stdin>", Path())
    try:
        raw = _read(path)
    except OSError as cause:
        raise InputNotFoundError(
            f"the file `{path}` cannot be opened", got=cause.strerror, fix="check the path"
        ) from cause
    if len(raw) > MAX_BYTES:
        raise JobSpecError(f"{name}: more than {MAX_BYTES} bytes", fix="describe less in one file")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as cause:
        raise JobSpecError(
            f"{name}: this is not UTF-8",
            got=f"byte {raw[cause.start]:#04x} at offset {cause.start}",
            fix="save the file as UTF-8",
        ) from cause
    return documents_of(text, file=name), folder.absolute()


def _read(path: str) -> bytes:
    if path == STDIN:
        return sys.stdin.buffer.read(MAX_BYTES + 1)
    with Path(path).open("rb") as file:
        return file.read(MAX_BYTES + 1)


def documents_of(text: str, *, file: str) -> list[Document]:
    """Read all documents of a text.

    Raises:
        JobSpecError: it is no YAML, or holds nothing.
    """
    try:
        nodes = read_documents(text, name=file)
    except NoYamlError as cause:
        raise JobSpecError(cause.problem, got=cause.got, fix=cause.fix) from cause
    if not nodes:
        raise JobSpecError(
            f"{file}: the file is empty", fix=f"begin with apiVersion: {API_VERSION}"
        )
    return [Document(node, file, JobSpecError) for node in nodes]


def opened(
    document: Document, kinds: Mapping[str, type[OpenAutoGLMError]]
) -> tuple[Document, str, str]:
    """Check the envelope; return the document, its kind and its name.

    It complains with the error of its kind from then on.

    Args:
        document: as it was read.
        kinds: that there are, each with its error.
    """
    document.check_keys((), ENVELOPE, must=ENVELOPE)
    if document.text(("apiVersion",)) != API_VERSION:
        got, fix = document.text(("apiVersion",)), f"write apiVersion: {API_VERSION}"
        document.refuse(("apiVersion",), "this version is not known", got=got, fix=fix)
    kind = document.text(("kind",))
    if kind not in kinds:
        known = tuple(kinds)
        fix = suggest(kind, known) or f"write one of: {', '.join(known)}"
        document.refuse(("kind",), f"there is no kind `{kind}`", got=kind, fix=fix)
    document.error = kinds[kind]
    document.check_keys(("metadata",), ("name",), must=("name",))
    name = document.text(("metadata", "name"))
    if not name.strip():
        document.refuse(("metadata", "name"), "the name is empty", fix="write a name")
    return document, kind, name
