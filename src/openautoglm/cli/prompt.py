"""`oag prompt list|show|save|diff|alias`: the prompt store from a terminal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from openautoglm.engine.generation import Json
    from openautoglm.prompts.store import PromptStore
    from openautoglm.prompts.template import PromptTemplate
    from openautoglm.prompts.version import PromptVersion

prompt = typer.Typer(help="Keep prompts in versions, as plain files.", no_args_is_help=True)

Store: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--store", metavar="DIR", help="The folder of the store; OPENAUTOGLM_PROMPTS or ./prompts."
    ),
]
Name: TypeAlias = Annotated[str, typer.Argument(metavar="NAME", help="The prompt.")]
Which: TypeAlias = Annotated[
    str, typer.Argument(metavar="NAME[@VERSION]", help="NAME, NAME@2, NAME@alias or NAME@latest.")
]


@prompt.command("list")
def list_prompts(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="List the versions of this prompt.")
    ] = None,
    store: Store = None,
) -> None:
    """List the prompts, or the versions of one."""
    opened = open_store(store)
    names = opened.names() if name is None else (name,)
    for each in names:
        versions = opened.versions(each)
        for version in versions if name is not None else versions[-1:]:
            aliases = [a for a, number in opened.aliases(each).items() if number == version.number]
            where = f"{each}@{version.number}"
            marks = f" ({', '.join(aliases)})" if aliases else ""
            typer.echo(f"{where:<24} {version.created:%Y-%m-%d}  {version.message}{marks}".rstrip())


@prompt.command()
def show(
    which: Which,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the version with all that is known of it.")
    ] = False,
    store: Store = None,
) -> None:
    """Print a prompt's text; a chat is printed as JSON messages."""
    version = open_store(store).version(which)
    if as_json:
        typer.echo(_json(_as_data(which.partition("@")[0], version)))
    else:
        template = version.template.template
        typer.echo(template if isinstance(template, str) else _json(template))


@prompt.command()
def save(
    name: Name,
    file: Annotated[
        str,
        typer.Option(
            metavar="FILE", help="The text, `-` for standard input; a .json file holds messages."
        ),
    ],
    message: Annotated[str, typer.Option(help="What is new.")] = "",
    variables: Annotated[
        list[str] | None,
        typer.Option(
            "--var",
            metavar="NAME",
            help="A variable of it. Repeatable; all it has when left out.",
        ),
    ] = None,
    store: Store = None,
) -> None:
    """Save a new version; the same content again saves nothing.

    The last line end of a text file is not part of the prompt.
    """
    typer.echo(str(open_store(store).save(name, read_template(file, variables), message=message)))


@prompt.command()
def diff(
    name: Name,
    a: Annotated[str, typer.Argument(metavar="A", help="A version or alias.")],
    b: Annotated[str, typer.Argument(metavar="B", help="Another.")],
    store: Store = None,
) -> None:
    """Show what changed between two versions; nothing when nothing did."""
    changes = open_store(store).diff(name, a, b)
    if changes:
        typer.echo(changes)


@prompt.command()
def alias(
    name: Name,
    alias: Annotated[str, typer.Argument(metavar="ALIAS", help="Such as production.")],
    version: Annotated[str, typer.Argument(metavar="VERSION", help="A number, latest or alias.")],
    store: Store = None,
) -> None:
    """Let NAME@ALIAS lead to a version."""
    opened = open_store(store)
    opened.alias(name, alias, version)
    typer.echo(f"{name}@{alias} is {name}@{opened.version(f'{name}@{alias}').number}")


def open_store(folder: str | None) -> PromptStore:
    """Return the store in a folder, or the one of the settings."""
    import os

    from openautoglm.prompts.store import PromptStore
    from openautoglm.settings import Settings

    return PromptStore(Path(folder) if folder else Settings.from_env(os.environ).prompts_dir)


def read_template(file: str, variables: Sequence[str] | None) -> PromptTemplate:
    """Read a template from a file; without variables it declares those it has.

    Raises:
        InputNotFoundError: no such file.
        InputDecodeError: it is not UTF-8, empty, or not the JSON of messages.
        TemplateSyntaxError: the text is no template.
        TemplateVariableError: the variables are not those it has.
    """
    from openautoglm.cli.inputs import Reading, read_text
    from openautoglm.prompts.syntax import parse
    from openautoglm.prompts.template import PromptTemplate

    text = read_text(file, Reading())
    if file.endswith(".json"):
        messages = _messages(text, file)
        texts = [str(message.get("content")) for message in messages]
        found = dict.fromkeys(name for text in texts for name in parse(text).names())
        names = list(found if variables is None else variables)
        return PromptTemplate(messages, names)
    text = text.removesuffix("\n").removesuffix("\r")
    names = list(parse(text).names() if variables is None else variables)
    return PromptTemplate(text, names)


def _messages(text: str, file: str) -> Sequence[Mapping[str, str]]:
    import json

    from openautoglm.errors import InputDecodeError

    try:
        messages = json.loads(text)
    except (ValueError, RecursionError) as cause:
        raise InputDecodeError(f"`{file}` is no JSON: {cause}", fix="check it") from cause
    if not isinstance(messages, list) or not all(isinstance(m, dict) for m in messages):
        raise InputDecodeError(
            f"`{file}` holds no messages", fix='write [{"role": "user", "content": "…"}]'
        )
    return messages


def _as_data(name: str, version: PromptVersion) -> Mapping[str, Json]:
    return {
        "name": name,
        "version": version.number,
        "created": version.created.isoformat(),
        "message": version.message,
        "sha256": version.sha256,
        "input_variables": list(version.template.input_variables),
        "template": version.template.template,
    }


def _json(value: Json) -> str:
    import json

    return json.dumps(value, ensure_ascii=False, indent=2)
