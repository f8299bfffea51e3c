"""Reading one prompt file, strictly: every fault is named with its line and the fix.

Unknown keys, keys given twice, wrong types, gaps in the numbers, aliases that lead nowhere and
versions that were edited behind the store are refused.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from openautoglm.errors import (
    PromptStoreError,
    TemplateSyntaxError,
    TemplateVariableError,
)
from openautoglm.prompts.prompt_yaml import SCHEMA
from openautoglm.prompts.template import PromptTemplate
from openautoglm.prompts.version import PromptFile, PromptVersion, content_hash

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import yaml

_FILE_KEYS = ("schema", "aliases", "versions")
_VERSION_KEYS = ("number", "created", "message", "sha256", "input_variables", "template")
_TYPES = {"str": "a text", "int": "a whole number"}


def read(text: str, *, path: str) -> PromptFile:
    """Return what a prompt file holds.

    Raises:
        PromptStoreError: the text is no prompt file, or a version was edited.
    """
    return _Reader(path).file(_composed(text, path))


def _composed(text: str, path: str) -> yaml.Node:
    import yaml

    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as cause:
        mark = cause.problem_mark or cause.context_mark
        where = f"{path}, line {mark.line + 1}" if mark else path
        raise PromptStoreError(
            f"{where}: not YAML: {cause.problem}", fix="mend the line, or take it back with git"
        ) from cause
    except (yaml.YAMLError, RecursionError, ValueError) as cause:
        raise PromptStoreError(
            f"{path}: not YAML: {str(cause).splitlines()[0]}", fix="take the file back with git"
        ) from cause
    if node is None:
        raise PromptStoreError(
            f"{path}: the file is empty", fix="take it back with git, or delete it"
        )
    return node


@dataclass(frozen=True, slots=True)
class _Reader:
    """Turns the nodes of one file into values; knows the file's name for its errors."""

    path: str

    def file(self, node: yaml.Node) -> PromptFile:
        keys = self.mapping(node, known=_FILE_KEYS, needed=("schema", "versions"))
        schema = self.number(keys["schema"])
        if schema != SCHEMA:
            raise self.fault(
                keys["schema"], f"schema {schema} is not known", fix=f"this release reads {SCHEMA}"
            )
        nodes = self.sequence(keys["versions"], "a list of versions")
        if not nodes:
            raise self.fault(
                keys["versions"], "no version at all", fix="delete the file, or take it back"
            )
        versions = tuple(self.version(item, n) for n, item in enumerate(nodes, start=1))
        aliases = self.aliases(keys["aliases"], len(versions)) if "aliases" in keys else {}
        return PromptFile(versions=versions, aliases=aliases)

    def aliases(self, node: yaml.Node, last: int) -> Mapping[str, int]:
        aliases = {}
        for name, value in self.mapping(node).items():
            number = self.number(value)
            if not 1 <= number <= last:
                raise self.fault(
                    value,
                    f"alias `{name}` leads to version {number}, which does not exist",
                    fix=f"name a version from 1 to {last}",
                )
            aliases[name] = number
        return aliases

    def version(self, node: yaml.Node, expected: int) -> PromptVersion:
        keys = self.mapping(node, known=_VERSION_KEYS, needed=_VERSION_KEYS)
        number = self.number(keys["number"])
        if number != expected:
            raise self.fault(
                keys["number"],
                f"version {number} where version {expected} must be",
                fix="versions are numbered 1, 2, 3, …; take the missing one back with git",
            )
        version = PromptVersion(
            number=number,
            created=self.date(keys["created"]),
            message=self.text(keys["message"]),
            sha256=self.text(keys["sha256"]),
            template=self.template(keys["template"], keys["input_variables"]),
        )
        if version.sha256 != content_hash(version.template):
            raise self.fault(
                keys["template"],
                f"version {number} was edited after it was saved",
                fix="take the text back with git, then `save` the new text as a new version",
            )
        return version

    def template(self, node: yaml.Node, variables: yaml.Node) -> PromptTemplate:
        names = [self.text(item) for item in self.sequence(variables, "a list of names")]
        template = self.template_text(node)
        try:
            if isinstance(template, str):
                return PromptTemplate(template, names)
            return PromptTemplate(template, names)  # apart, because an overload takes one kind
        except (TemplateSyntaxError, TemplateVariableError) as cause:
            problem = f"the template is faulty: {cause.problem}"
            raise self.fault(node, problem, fix=cause.fix) from cause

    def template_text(self, node: yaml.Node) -> str | list[dict[str, str]]:
        import yaml

        if not isinstance(node, yaml.SequenceNode):
            return self.text(node)
        messages = []
        for item in self.sequence(node, "a list of messages"):
            keys = self.mapping(item, known=("role", "content"), needed=("role", "content"))
            messages.append({key: self.text(value) for key, value in keys.items()})
        return messages

    def date(self, node: yaml.Node) -> datetime:
        text = self.text(node)
        try:
            return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
        except ValueError as cause:
            fix = 'write it as "2026-01-31T23:59:59Z"'
            raise self.fault(node, f"`{text}` is no date", fix=fix) from cause

    def mapping(
        self, node: yaml.Node, *, known: Iterable[str] = (), needed: Iterable[str] = ()
    ) -> dict[str, yaml.Node]:
        import yaml

        if not isinstance(node, yaml.MappingNode):
            raise self.fault(node, "keys and values must be here", fix="write `key: value` lines")
        found: dict[str, yaml.Node] = {}
        for key_node, value in node.value:
            key = self.text(key_node)
            if key in found:
                raise self.fault(key_node, f"`{key}` is given twice", fix="remove one")
            if known and key not in known:
                near = difflib.get_close_matches(key, list(known), n=1)
                fix = f"did you mean `{near[0]}`?" if near else f"known: {', '.join(known)}"
                raise self.fault(key_node, f"unknown key `{key}`", fix=fix)
            found[key] = value
        missing = [key for key in needed if key not in found]
        if missing:
            raise self.fault(node, f"`{missing[0]}` is missing", fix=f"add `{missing[0]}:`")
        return found

    def sequence(self, node: yaml.Node, what: str) -> list[yaml.Node]:
        import yaml

        if not isinstance(node, yaml.SequenceNode):
            raise self.fault(node, f"{what} must be here", fix="write `- ` before each")
        return list(node.value)

    def text(self, node: yaml.Node) -> str:
        return self.scalar(node, "str")

    def number(self, node: yaml.Node) -> int:
        text = self.scalar(node, "int")
        if not (text.isascii() and text.isdecimal() and len(text) < 10):  # noqa: PLR2004 - a billion versions
            raise self.fault(node, "a whole number must be here", fix="write digits, such as 3")
        return int(text)

    def scalar(self, node: yaml.Node, kind: str) -> str:
        import yaml

        if isinstance(node, yaml.ScalarNode) and node.tag == f"tag:yaml.org,2002:{kind}":
            return str(node.value)
        fix = "put it in quotes" if kind == "str" else "write digits without quotes"
        raise self.fault(node, f"{_TYPES[kind]} must be here", fix=fix)

    def fault(self, node: yaml.Node, problem: str, *, fix: str | None) -> PromptStoreError:
        line = node.start_mark.line + 1
        return PromptStoreError(f"{self.path}, line {line}: {problem}", fix=fix)
