"""`PromptStore`: prompts with their versions and aliases, one readable file each.

Owns names, versions, aliases and when what is written. The files' form is prompt_yaml.py's and
prompt_file.py's. Knows nothing of models.
"""

from __future__ import annotations

import difflib
import os
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, final

from openautoglm.errors import InputNotFoundError, PromptNotFoundError, PromptStoreError
from openautoglm.platform_io import detect
from openautoglm.prompts.lock import locked
from openautoglm.prompts.prompt_file import read
from openautoglm.prompts.prompt_yaml import written
from openautoglm.prompts.template import PromptTemplate
from openautoglm.prompts.version import PromptFile, PromptVersion, content_hash

if TYPE_CHECKING:
    from openautoglm.prompts.messages import Prompt

__all__ = ["PromptStore", "PromptVersion", "Saved"]

Clock: TypeAlias = Callable[[], datetime]
Selector: TypeAlias = int | str

LATEST = "latest"
_LONGEST_NAME = 200  # bytes; file systems allow 255 with the ending
_DEVICES = frozenset(
    ["con", "prn", "aux", "nul"] + [f"{d}{n}" for d in ("com", "lpt") for n in range(1, 10)]
)


def now() -> datetime:
    """Return the time, in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """What `save` did: the version there is now, and whether it is new."""

    name: str
    version: PromptVersion
    is_new: bool

    def __str__(self) -> str:
        where = f"{self.name}@{self.version.number}"
        return f"saved {where}" if self.is_new else f"nothing to save: {where} has this content"


@final
class PromptStore:
    """Keep prompts as YAML files in a folder, every version for good.

    A prompt is asked for as `name` (its latest version), `name@2` or `name@alias`. Several
    processes and threads may use one folder: writers wait for one another, a file is replaced
    whole. Comments that were added to a file by hand are lost when a version is saved.

    Args:
        folder: where the files are; made when the first prompt is saved.
        clock: gives the time of a new version.

    Example:
        >>> import tempfile
        >>> from openautoglm import PromptTemplate
        >>> store = PromptStore(tempfile.mkdtemp())
        >>> print(store.save("summary", PromptTemplate("摘要:{content}", ["content"])))
        saved summary@1
        >>> store.alias("summary", "production", 1)
        >>> store.get("summary@production").format(content="…")
        '摘要:…'
    """

    def __init__(self, folder: str | os.PathLike[str], *, clock: Clock = now) -> None:
        self._folder = Path(folder)
        self._clock = clock

    def names(self) -> tuple[str, ...]:
        """Return the names of all prompts, sorted."""
        if not os.path.isdir(self._folder):  # noqa: PTH112 - `is_dir` may raise
            return ()
        stems = (path.stem for path in self._folder.glob("*.yaml") if path.is_file())
        return tuple(sorted(stem for stem in stems if _fault_of_name(stem) is None))

    def get(self, selector: str) -> PromptTemplate:
        """Return the template of `name`, `name@number`, `name@alias` or `name@latest`.

        Raises:
            PromptNotFoundError: no such prompt, version or alias.
            PromptStoreError: the file cannot be read, or a version of it was edited.
        """
        return self.version(selector).template

    def version(self, selector: str) -> PromptVersion:
        """Return a version with its number, date, message and hash; as `get` otherwise."""
        if not isinstance(selector, str):
            raise PromptNotFoundError(
                "a prompt is asked for by a text",
                got=repr(selector),
                fix='write "name", "name@2" or "name@alias"',
            )
        name, _, which = selector.partition("@")
        return _selected(name, self._read(name), which if "@" in selector else LATEST)

    def versions(self, name: str) -> tuple[PromptVersion, ...]:
        """Return all versions of a prompt, the first first."""
        return self._read(name).versions

    def aliases(self, name: str) -> dict[str, int]:
        """Return the aliases of a prompt and the version each leads to."""
        return dict(self._read(name).aliases)

    def save(self, name: str, template: PromptTemplate, *, message: str = "") -> Saved:
        """Add a version, unless the latest one has the same content.

        Raises:
            PromptStoreError: the name cannot be a prompt's, the text cannot be stored, or the file
                that is there cannot be read; nothing was written.
        """
        _checked_name(name)
        _checked_content(name, template, message)
        self._make_folder()
        with locked(self._folder):
            file = self._read(name) if self._has(name) else None
            versions = file.versions if file else ()
            sha256 = content_hash(template)
            if versions and versions[-1].sha256 == sha256:
                return Saved(name=name, version=versions[-1], is_new=False)
            version = PromptVersion(
                number=len(versions) + 1,
                created=_whole_seconds(self._clock()),
                message=message,
                sha256=sha256,
                template=template,
            )
            aliases = file.aliases if file else {}
            self._write(name, PromptFile(versions=(*versions, version), aliases=aliases))
        return Saved(name=name, version=version, is_new=True)

    def alias(self, name: str, alias: str, version: Selector) -> None:
        """Let `name@alias` lead to a version: a number, `latest`, or what another alias leads to.

        Raises:
            PromptNotFoundError: no such prompt or version.
            PromptStoreError: the alias cannot be one.
        """
        if _fault_of_name(alias) or alias.isdecimal() or alias == LATEST:
            raise PromptStoreError(
                f"`{alias}` cannot be an alias",
                fix="use small letters, digits, `-` and `_`, not a number and not `latest`",
            )
        with self._changing(name) as file:
            number = _selected(name, file, str(version)).number
            self._write(name, replace(file, aliases={**file.aliases, alias: number}))

    def unalias(self, name: str, alias: str) -> None:
        """Remove an alias.

        Raises:
            PromptNotFoundError: no such prompt or alias.
        """
        with self._changing(name) as file:
            if alias not in file.aliases:
                raise _no_version(name, file, alias)
            rest = {known: n for known, n in file.aliases.items() if known != alias}
            self._write(name, replace(file, aliases=rest))

    def diff(self, name: str, a: Selector, b: Selector) -> str:
        """Return what changed from version `a` to `b` as a unified diff; empty when nothing did."""
        file = self._read(name)
        old, new = (_selected(name, file, str(which)) for which in (a, b))
        lines = difflib.unified_diff(
            _document(old).split("\n"),
            _document(new).split("\n"),
            fromfile=f"{name}@{old.number}",
            tofile=f"{name}@{new.number}",
            lineterm="",
        )
        return "\n".join(lines)

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.yaml"

    def _has(self, name: str) -> bool:
        try:
            return self._path(name).exists()
        except OSError as cause:
            raise PromptStoreError(
                "the folder of the prompt store cannot be looked into",
                got=str(self._folder),
                fix="give this user read permission, or name another folder",
            ) from cause

    @contextmanager
    def _changing(self, name: str) -> Iterator[PromptFile]:
        self._read(name)  # a prompt that is not there is told of before there is a folder to lock
        with locked(self._folder):
            yield self._read(name)

    def _make_folder(self) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as cause:
            raise PromptStoreError(
                "the folder of the prompt store cannot be made",
                got=str(self._folder),
                fix="name another folder, or make this one",
            ) from cause

    def _read(self, name: str) -> PromptFile:
        if _fault_of_name(name) is not None or not self._has(name):
            raise self._no_prompt(name)
        path = self._path(name)
        try:
            text = detect().read_file(path).decode("utf-8")
        except UnicodeDecodeError as cause:
            raise PromptStoreError(
                f"{path}: byte {cause.start} is not UTF-8", fix="save the file as UTF-8"
            ) from cause
        except InputNotFoundError as cause:
            raise PromptStoreError(f"{path}: {cause.problem}", fix=cause.fix) from cause
        return read(text, path=str(path))

    def _write(self, name: str, file: PromptFile) -> None:
        text = written(file)
        path = self._path(name)
        if read(text, path=str(path)) != file:
            raise PromptStoreError(
                f"prompt `{name}` would not be read as it was written; nothing was saved",
                fix="report the text: this is a fault of the store",
            )
        detect().write_file(path, text.encode("utf-8"))

    def _no_prompt(self, name: str) -> PromptNotFoundError:
        known = self.names()
        near = difflib.get_close_matches(str(name), known, n=1)
        return PromptNotFoundError(
            f"no prompt is called `{name}`",
            got=f"{self._folder} has {', '.join(known) or 'none'}",
            fix=f"did you mean `{near[0]}`?" if near else "check the name and the folder",
        )


def _selected(name: str, file: PromptFile, which: str) -> PromptVersion:
    if which == LATEST:
        return file.versions[-1]
    is_number = which.isascii() and which.isdecimal()
    number = int(which[:10]) if is_number else file.aliases.get(which, 0)
    if not 1 <= number <= len(file.versions):
        raise _no_version(name, file, which)
    return file.versions[number - 1]


def _no_version(name: str, file: PromptFile, which: str) -> PromptNotFoundError:
    aliases = tuple(file.aliases)
    near = difflib.get_close_matches(which, (*aliases, LATEST), n=1)
    fix = f"did you mean `{name}@{near[0]}`?" if near else f"use {name}@{len(file.versions)}"
    return PromptNotFoundError(
        f"prompt `{name}` has no version or alias `{which}`",
        got=f"versions 1 to {len(file.versions)}; aliases: {', '.join(aliases) or 'none'}",
        fix=fix,
    )


def _document(version: PromptVersion) -> str:
    template = version.template.template
    names = ", ".join(version.template.input_variables)
    if isinstance(template, str):
        return f"input_variables: {names}\n{template}"
    parts = [f"[{message['role']}]\n{message['content']}" for message in template]
    return "\n".join([f"input_variables: {names}", *parts])


def _fault_of_name(name: object) -> str | None:
    """Return why a name cannot be a prompt's on every file system, or None."""
    if not isinstance(name, str):
        return "it is not text"
    if not name or not name[0].isalnum():
        return "it does not begin with a letter or digit"
    if any(not (char.isalnum() or char in "-_") for char in name):
        return "it holds a character that is not a letter, a digit, `-` or `_`"
    if name != unicodedata.normalize("NFKC", name).lower():
        return "it has capitals or look-alike characters, which not every file system tells apart"
    if len(name.encode("utf-8", "surrogatepass")) > _LONGEST_NAME:
        return f"it takes more than {_LONGEST_NAME} bytes"
    return "Windows keeps it for a device" if name in _DEVICES else None


def _checked_name(name: str) -> None:
    fault = _fault_of_name(name)
    if fault is not None:
        raise PromptStoreError(
            f"a prompt cannot be called `{name}`: {fault}",
            fix="use small letters, digits, `-` and `_`, such as `order-summary`",
        )


def _checked_content(name: str, template: object, message: object) -> None:
    if not isinstance(template, PromptTemplate):
        raise PromptStoreError(
            f"the template of prompt `{name}` is no PromptTemplate",
            got=type(template).__name__,
            fix='make one: PromptTemplate("摘要:{content}", ["content"])',
        )
    if not isinstance(message, str):
        raise PromptStoreError(
            f"the message of prompt `{name}` is not text",
            got=type(message).__name__,
            fix="say in words what changed, or leave it out",
        )
    content: Prompt = template.template
    texts = [content] if isinstance(content, str) else [part["content"] for part in content]
    for what, text in [("message", message), *(("template", text) for text in texts)]:
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as cause:
            raise PromptStoreError(
                f"the {what} of prompt `{name}` holds half of a character at {cause.start}",
                got=ascii(text[cause.start]),
                fix="remove it: a lone surrogate cannot be stored",
            ) from cause


def _whole_seconds(time: datetime) -> datetime:
    if time.tzinfo is None:
        raise PromptStoreError(
            "the clock gave a time without a time zone", got=time.isoformat(), fix="give UTC"
        )
    return time.astimezone(UTC).replace(microsecond=0)
