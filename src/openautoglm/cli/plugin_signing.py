"""`oag plugin key|sign|verify`: keys of one's own, signatures on wheels, what they are worth."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openautoglm.plugins.inventory.conflicts import Conflict
    from openautoglm.plugins.inventory.inventory import Inventory
    from openautoglm.plugins.report import PluginReport
    from openautoglm.plugins.signing import Keyring, KeyringFile, Verdict

PASSPHRASE = "OPENAUTOGLM_KEY_PASSPHRASE"  # noqa: S105 - the name of a variable

Home: TypeAlias = Annotated[
    Path | None,
    typer.Option("--home", metavar="DIR", help="Where keys and keyring lie; OPENAUTOGLM_HOME."),
]
Wheel: TypeAlias = Annotated[Path, typer.Argument(metavar="WHEEL", help="The .whl file.")]
Name: TypeAlias = Annotated[str, typer.Argument(metavar="NAME", help="The key.")]
Roles: TypeAlias = Annotated[
    list[str] | None, typer.Option("--role", help="What it signs as; may be repeated. Else author.")
]
Ids: TypeAlias = Annotated[
    list[str] | None,
    typer.Option("--id", metavar="GLOB", help="Plugins it may sign; may be repeated. Else all."),
]
Days: TypeAlias = Annotated[
    int | None, typer.Option("--days", min=1, help="It counts for so many days. Else for ever.")
]

key = typer.Typer(help="Make keys, and say which to trust.", no_args_is_help=True)


def signing_commands(app: typer.Typer) -> None:
    """Add `key`, `sign` and `verify` to the commands of `oag plugin`."""
    app.add_typer(key, name="key")
    app.command()(sign)
    app.command()(verify)


@key.command()
def new(
    name: Name,
    home: Home = None,
    role: Roles = None,
    plugin: Ids = None,
    days: Days = None,
    lock: Annotated[
        bool, typer.Option("--lock", help=f"Ask for a passphrase, or take {PASSPHRASE}.")
    ] = False,
) -> None:
    """Make a key and trust it on this machine."""
    from openautoglm.plugins.signing import new_local_key

    made = new_local_key(
        home_folder(home),
        name,
        passphrase=_passphrase(confirm=True) if lock else None,
        roles=tuple(role or ("author",)),
        ids=tuple(plugin or ("*",)),
        expires=_end(days),
    )
    typer.echo(f"key      {made.key.id}")
    typer.echo(f"private  {made.path}")
    typer.echo(f"trusted  {made.keyring}")


@key.command("list")
def list_keys(home: Home = None) -> None:
    """List the keys that are trusted, and what a package needs."""
    keyring = ring(home).read()
    now = datetime.now(UTC)
    for found, trusted in keyring.keys.items():
        state = "revoked" if trusted.revoked else "trusted"
        if trusted.revoked is None and trusted.expires is not None:
            until = trusted.expires.date()
            state = f"expired {until}" if trusted.expires <= now else f"until {until}"
        words = (trusted.name, found[:16], " ".join(trusted.roles), " ".join(trusted.ids), state)
        typer.echo("  ".join(words))
    typer.echo(f"needed: {_needed(keyring)}")


@key.command()
def show(name: Name, home: Home = None) -> None:
    """Print the public half of a key, for others to trust."""
    keyring = ring(home).read()
    typer.echo(keyring.keys[keyring.find(name)].public)


@key.command()
def trust(
    name: Name,
    public: Annotated[str, typer.Argument(metavar="PUBLIC", help="What `key show` printed.")],
    home: Home = None,
    role: Roles = None,
    plugin: Ids = None,
    days: Days = None,
) -> None:
    """Trust somebody else's key."""
    import base64
    import binascii

    from openautoglm.errors import KeyringError

    try:
        decoded = base64.b64decode(public, validate=True)
    except (binascii.Error, ValueError) as cause:
        raise KeyringError("a public key is base64", got=public[:80]) from cause
    ring(home).update(
        lambda old: old.trusting(
            decoded,
            name=name,
            roles=tuple(role or ("author",)),
            ids=tuple(plugin or ("*",)),
            expires=_end(days),
        )
    )
    typer.echo(f"trusted  {name}")


@key.command()
def revoke(
    name: Name,
    home: Home = None,
    reason: Annotated[str, typer.Option("--reason", help="Shown where it is refused.")] = "",
) -> None:
    """Stop trusting a key, for good."""
    ring(home).update(lambda old: old.revoking(name, at=datetime.now(UTC), reason=reason))
    typer.echo(f"revoked  {name}")


@key.command()
def need(
    counts: Annotated[
        list[str], typer.Argument(metavar="ROLE=COUNT...", help="As in author=1 reviewer=2.")
    ],
    home: Home = None,
) -> None:
    """Say how many keys of which role a package needs to be trusted."""
    from openautoglm.errors import KeyringError

    pairs = [count.partition("=") for count in counts]
    if not all(number.isascii() and number.isdigit() for _, _, number in pairs):
        raise KeyringError("a threshold is a role and a number", got=" ".join(counts))
    wanted = {role: int(number) for role, _, number in pairs}
    keyring = ring(home).update(lambda old: old.requiring(**wanted))
    typer.echo(f"needed: {_needed(keyring)}")


def sign(
    wheel: Wheel,
    by: Annotated[str, typer.Option("--key", metavar="NAME", help="The key to sign with.")],
    report: Annotated[
        Path | None,
        typer.Option("--report", metavar="FILE", help="What `oag plugin check --json` wrote."),
    ] = None,
    home: Home = None,
) -> None:
    """Sign a wheel, or add a signature to those it has.

    The signature lies beside the wheel, as WHEEL.dsse.json; the wheel itself is not touched.
    """
    from openautoglm.plugins.signing import SigningKey
    from openautoglm.plugins.signing import sign as write
    from openautoglm.plugins.signing.local import key_path

    _refuse_folder(wheel)
    path = key_path(home_folder(home), by)
    locked = path.exists() and b"ENCRYPTED" in path.read_bytes()
    private = SigningKey.load(path, passphrase=_passphrase() if locked else None)
    typer.echo(f"signed  {write(wheel, private, None if report is None else read_report(report))}")


def verify(
    wheel: Wheel,
    home: Home = None,
    report: Annotated[
        Path | None, typer.Option("--report", metavar="FILE", help="The report that was signed.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the verdict as JSON.")] = False,
) -> None:
    """Say whether a wheel is what trusted keys signed; where it is not, why, with exit code 1."""
    from openautoglm.plugins.signing import verify as judge

    _refuse_folder(wheel)
    wanted = None if report is None else read_report(report).digest
    keyring = ring(home).read()
    verdict = judge(wheel, keyring, report=wanted)
    for line in _told(verdict, keyring, as_json=json):
        typer.echo(line)
    if not verdict.trusted:
        raise typer.Exit(1)


def home_folder(given: Path | None) -> Path:
    """Return where keys and plugins of this user lie."""
    from openautoglm.plugins.inventory.state import default_home

    return default_home() if given is None else given


def ring(home: Path | None) -> KeyringFile:
    """Return the keyring of this user."""
    from openautoglm.plugins.signing import KeyringFile
    from openautoglm.plugins.signing.keyring import FILE_NAME

    return KeyringFile(home_folder(home) / FILE_NAME)


def refused_now(inventory: Inventory) -> Iterator[Conflict]:
    """Yield the enabled plugins that a verdict refuses today, as after a revocation.

    Those whose files changed are left out: they are no plugin any more that could be judged.
    """
    from openautoglm.errors import ContentStoreError
    from openautoglm.plugins.inventory.conflicts import Conflict

    for each in inventory.list():
        if each.wheel is None or not each.enabled:
            continue
        try:
            verdict = inventory.judged(each)
        except ContentStoreError:
            continue
        if verdict.state == "refused":
            yield Conflict(
                kind="signature",
                problem=f"the signature of plugin `{each.id}` {each.version} is refused",
                sides=(each.id, "the keyring"),
                got="; ".join(map(str, verdict.reasons)),
                fix=f"it does not start: get a wheel that counts, or `oag plugin remove {each.id}`",
            )


def _refuse_folder(wheel: Path) -> None:
    if wheel.is_dir():
        from openautoglm.errors import PackageRefusedError

        raise PackageRefusedError(
            "signatures are on wheels, and this is a folder",
            got=str(wheel),
            fix=f"`oag plugin pack {wheel}` makes the wheel of a project; then give that",
        )


def _told(verdict: Verdict, keyring: Keyring, *, as_json: bool) -> list[str]:
    if as_json:
        import json

        return [json.dumps(verdict.to_json(), indent=2, ensure_ascii=False)]
    names = ", ".join(keyring.keys[found].name for found in verdict.keys)
    first = f"{verdict.state} by {names}" if names else verdict.state
    return [first, *(f"  {reason}" for reason in verdict.reasons)]


def _needed(keyring: Keyring) -> str:
    return ", ".join(f"{count} {role}" for role, count in sorted(keyring.thresholds.items()))


def _end(days: int | None) -> datetime | None:
    return None if days is None else datetime.now(UTC) + timedelta(days=days)


def read_report(path: Path) -> PluginReport:
    """Return what `oag plugin check --json` wrote."""
    from openautoglm.errors import InputDecodeError
    from openautoglm.platform_io import detect
    from openautoglm.plugins.report import PluginReport

    try:
        return PluginReport.from_json(detect().read_file(path))
    except ValueError as cause:
        raise InputDecodeError("this is no report of a plugin", got=str(path)) from cause


def _passphrase(*, confirm: bool = False) -> str:
    from getpass import getpass

    from openautoglm.errors import SigningKeyError

    given = os.environ.get(PASSPHRASE)
    if given:
        return given
    if not sys.stdin.isatty():
        raise SigningKeyError(
            "the key has a passphrase", got="no terminal to ask at", fix=f"set {PASSPHRASE}"
        )
    typed = getpass("passphrase: ")
    if not typed or (confirm and getpass("again: ") != typed):
        raise SigningKeyError("the two passphrases differ, or are empty", fix="type it again")
    return typed
