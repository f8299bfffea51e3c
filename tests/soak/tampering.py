"""Packages of plugins: good ones in many shapes, and every kind of attack on them.

Every attack is made from a package that is trusted as it is, by one change of a kind; the same seed
gives the same attacks, but for the keys.
"""

from __future__ import annotations

import hashlib
import json
import random
import struct
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import TYPE_CHECKING

from archives import (  # type: ignore[import-not-found] # beside this program
    flipped,
    noise,
    with_record,
    zipped,
)

from openautoglm.plugins.manifest import FILE_NAME, Manifest, Provides
from openautoglm.plugins.signing import Keyring, Package, SigningKey
from openautoglm.plugins.signing import envelope as dsse
from openautoglm.plugins.signing.sign import statement_on
from openautoglm.plugins.signing.statement import decode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)
ARCHIVE = frozenset(
    (
        *("not-an-archive", "stray-bytes", "member-header", "member-name", "member-type"),
        *("name-twice", "too-large", "damaged", "record", "manifest", "package-digest"),
    )
)
ENVELOPE = frozenset({"envelope", "bad-signature", "unknown-key", "statement"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A package with its signature, whom to trust, and the codes one of which must be told."""

    kind: str
    wheel: bytes
    signature: bytes | None
    keyring: Keyring
    expected: frozenset[str] = frozenset()

    @property
    def identity(self) -> str:
        """What makes it another case than the others."""
        said = [self.wheel, self.signature or b"none", self.keyring.to_json()]
        return hashlib.sha256(b"".join(hashlib.sha256(each).digest() for each in said)).hexdigest()


class Maker:
    """Keys, good packages, and every kind of attack on them."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)  # noqa: S311 - repeatable, no secret
        self.author, self.reviewer, self.stranger = (SigningKey.new() for _ in range(3))
        self.keyring = (
            Keyring()
            .trusting(self.author.public, name="author")
            .trusting(self.reviewer.public, name="reviewer", roles=("reviewer",))
        )

    def files(self, number: int, version: str = "1.0") -> dict[str, bytes]:
        """Return the files of a plugin, without RECORD."""
        package = f"acme_p{number}"
        manifest = Manifest(
            id=f"acme.p{number}",
            name=f"acme-p{number}",
            version=version,
            package=package,
            host_api=">=1.0,<2",
            permissions=("emit:acme.*",)[: number % 2],
            provides=(
                Provides(point="step", contract=1, name=f"acme.p{number}", object=f"{package}:S"),
            ),
        )
        made = {
            f"{package}/__init__.py": f"VALUE = {number}\n".encode() * (number % 40 + 1),
            f"{package}/{FILE_NAME}": manifest.to_json(),
            f"{package}/empty.txt": b"",
            f"{package}/data/表 {number}.bin": noise(number, number * 37 % 5000 + 64),
        }
        made |= {f"{package}/m{at}.py": b"x = %d\n" % at * 30 for at in range(number % 6)}
        info = f"{package}-{version}.dist-info"
        made[f"{info}/METADATA"] = f"Name: acme-p{number}\nVersion: {version}\n".encode()
        made[f"{info}/WHEEL"] = b"Wheel-Version: 1.0\nTag: py3-none-any\n"
        return made

    def signed(self, wheel: bytes, *keys: SigningKey, at: datetime = NOW) -> bytes:
        """Return the envelope of a wheel, signed by the author if by nobody else."""
        package = Package.from_bytes(wheel, name="package.whl")
        payload = statement_on(package, None, at).encode()
        return envelope(payload, *(keys or (self.author,)))

    def case(self, kind: str, wheel: bytes, signature: bytes | None, expected: str = "") -> Case:
        """Return a case with the keyring of all cases."""
        return Case(
            kind=kind,
            wheel=wheel,
            signature=signature,
            keyring=self.keyring,
            expected=frozenset(expected.split()),
        )

    def good(self) -> Iterator[Case]:
        """Yield packages that must be trusted, in many shapes."""
        for number in count():
            files = with_record(self.files(number, version=f"1.{number}"))
            wheel = zipped(files, stored=number % 3 == 0, folders=number % 4 == 0)
            case = self.case("good", wheel, self.signed(wheel))
            if number % 5 == 0:
                both = self.keyring.requiring(author=1, reviewer=1)
                signature = self.signed(wheel, self.author, self.reviewer, self.stranger)
                case = replace(case, keyring=both, signature=signature)
            if number % 7 == 0:
                case = replace(case, keyring=case.keyring.having_seen(f"acme.p{number}", "1.0a1"))
            yield case

    def tampered(self) -> Iterator[Case]:
        """Yield attacks, one of each kind in turn."""
        kinds: tuple[Callable[[int], Case], ...] = (
            *(self.flip_wheel, self.flip_signature, self.edit, self.edit_without_record),
            *(self.add, self.remove, self.swap_within, self.swap_between, self.swap_signatures),
            *(self.repack, self.cut, self.append, self.prepend, self.odd_name, self.double),
            *(self.header, self.bomb, self.edit_statement, self.sign_as_another, self.bad_terms),
            *(self.too_few, self.replay, self.edit_manifest, self.strip, self.loose_statement),
        )
        for turn in count():
            for kind in kinds:
                yield kind(turn)

    def _base(self, turn: int) -> tuple[dict[str, bytes], bytes, bytes]:
        files = self.files(turn)
        wheel = zipped(with_record(files), stored=turn % 2 == 0)
        return files, wheel, self.signed(wheel)

    def _some(self, files: Mapping[str, bytes]) -> str:
        return self.random.choice(
            [name for name in files if name.endswith((".py", ".bin")) and files[name]]
        )

    def _repacked(self, kind: str, turn: int, files: Mapping[str, bytes], expected: str) -> Case:
        """Return a package whose RECORD is true of other files than were signed."""
        _, _, signature = self._base(turn)
        return self.case(kind, zipped(with_record(files)), signature, expected)

    def flip_wheel(self, turn: int) -> Case:
        _, wheel, signature = self._base(turn)
        case = self.case("flip-wheel", flipped(wheel, self.random), signature)
        return replace(case, expected=ARCHIVE)

    def flip_signature(self, turn: int) -> Case:
        _, wheel, signature = self._base(turn)
        damaged = flipped(signature[:-1], self.random)
        return replace(self.case("flip-signature", wheel, damaged), expected=ENVELOPE)

    def edit(self, turn: int) -> Case:
        files = self._base(turn)[0]
        name = self._some(files)
        files[name] = flipped(files[name], self.random)
        return self._repacked("edit", turn, files, "file-digest")

    def edit_without_record(self, turn: int) -> Case:
        files, _, signature = self._base(turn)
        whole, name = with_record(files), self._some(files)
        whole[name] += b"#"
        return self.case("edit-without-record", zipped(whole), signature, "record")

    def add(self, turn: int) -> Case:
        files = self._base(turn)[0]
        place = ("acme_p{}/evil{}.py", "acme_p{}/a/b/{}.so", "evil_{}_{}.pth", "acme_p{}/🐍{}")
        files[place[turn % 4].format(turn, turn)] = b"import os\n"
        return self._repacked("add", turn, files, "file-extra")

    def remove(self, turn: int) -> Case:
        files = self._base(turn)[0]
        del files[self._some(files)]
        return self._repacked("remove", turn, files, "file-missing")

    def swap_within(self, turn: int) -> Case:
        files = self._base(turn)[0]
        one, two = f"acme_p{turn}/__init__.py", f"acme_p{turn}/empty.txt"
        files[one], files[two] = files[two], files[one]
        return self._repacked("swap-within", turn, files, "file-digest")

    def swap_between(self, turn: int) -> Case:
        files, others = self._base(turn)[0], self.files(turn + 1)
        files[f"acme_p{turn}/__init__.py"] = others[f"acme_p{turn + 1}/__init__.py"]
        return self._repacked("swap-between", turn, files, "file-digest")

    def swap_signatures(self, turn: int) -> Case:
        _, wheel, _ = self._base(turn)
        _, _, other = self._base(turn + 1)
        return self.case("swap-signatures", wheel, other, "package-digest")

    def repack(self, turn: int) -> Case:
        files, _, signature = self._base(turn)
        whole = list(with_record(files).items())
        self.random.shuffle(whole)
        again = zipped(dict(whole), stored=turn % 2 == 0, level=turn % 9 + 1, folders=turn % 3 == 0)
        return self.case("repack", again, signature, "package-digest")

    def cut(self, turn: int) -> Case:
        _, wheel, signature = self._base(turn)
        case = self.case("cut", wheel[: self.random.randrange(len(wheel))], signature)
        return replace(case, expected=ARCHIVE)

    def append(self, turn: int) -> Case:
        _, wheel, signature = self._base(turn)
        _, other, _ = self._base(turn + 1)
        more = (b"\0" * (turn + 1), other, b"PK\5\6" + bytes(18), b"#" * (turn + 1))[turn % 4]
        return self.case("append", wheel + more, signature, "stray-bytes not-an-archive")

    def prepend(self, turn: int) -> Case:
        _, wheel, signature = self._base(turn)
        before = (b"#!/bin/sh\n" * (turn + 1), self._base(turn + 1)[1])[turn % 2]
        return self.case("prepend", before + wheel, signature, "stray-bytes")

    def odd_name(self, turn: int) -> Case:
        files, _, signature = self._base(turn)
        own = f"acme_p{turn}"
        names = (
            *(
                "../evil{}.py",
                "/etc/evil{}",
                "a\\..\\evil{}.py",
                "C:evil{}.py",
                f"{own}/../../e{{}}",
            ),
            *(f"{own}//e{{}}.py", f"{own}/./e{{}}.py", f"{own}/e{{}}.", f"{own}/e{{}} /x"),
            *(
                f"{own}/e{{}}\u202egpj.py",
                f"{own}/e{{}}\n.py",
                f"{own}/e\u0301{{}}.py",
                "e*{}",
                "x" * 250,
            ),
            *(f"{own}/__INIT__.py", f"{own.upper()}/evil{{}}.py", f"{own}/__init__.py/evil{{}}"),
            *(f"{own}/\uff3f\uff3finit__.py", f"{own}/EMPTY.TXT", "~/..", f"{own}/e{{}}\0.py"),
        )
        files[names[turn % len(names)].format(turn)] = b"import os\n"
        wheel = zipped(with_record(files))
        if turn % len(names) == len(names) - 1:
            wheel = wheel.replace(f"/e{turn}.py".encode(), f"/e{turn}\0py".encode())
        return self.case("odd-name", wheel, signature, "member-name name-twice")

    def double(self, turn: int) -> Case:
        files, _, signature = self._base(turn)
        name = list(files)[turn % len(files)]
        twice = [*with_record(files).items(), (name, b"evil" * (turn + 1))]
        self.random.shuffle(twice)
        return self.case("double", zipped(twice), signature, "name-twice")

    def header(self, turn: int) -> Case:
        """Let the two headers of a member disagree, or say what no wheel's member says."""
        files, _, signature = self._base(turn)
        whole, name = with_record(files), f"acme_p{turn}/__init__.py".encode()
        wheel = bytearray(zipped(whole))
        local, central = wheel.find(name), wheel.rfind(name)
        kind = turn % 6
        if kind == 0:
            wheel[local + len(name) - 1] ^= 1 + turn % 7
        elif kind == 1:  # a symbolic link
            wheel[central - 46 + 38 : central - 46 + 42] = struct.pack("<L", 0o120777 << 16)
        elif kind == 2:  # encrypted
            wheel[central - 46 + 8] |= 1
            wheel[local - 30 + 6] |= 1
        elif kind == 3:  # another method
            wheel[central - 46 + 10] = wheel[local - 30 + 8] = 12
        elif kind == 4:  # another size
            wheel[local - 30 + 22 + turn % 4] ^= 1
        else:  # another sum
            wheel[local - 30 + 14 + turn % 4] ^= 1 << turn % 8
        return self.case("header", bytes(wheel), signature, "member-header member-type")

    def bomb(self, turn: int) -> Case:
        files, _, signature = self._base(turn)
        files[f"acme_p{turn}/zeros.bin"] = bytes((3 << 20) + turn)
        return self.case("bomb", zipped(with_record(files)), signature, "too-large")

    def edit_statement(self, turn: int) -> Case:
        """Change what the signature says, and keep the signature."""
        files, _, signature = self._base(turn)
        payload, signatures = dsse.decode(signature)
        if turn % 3 == 0:  # to be about an evil package
            files[f"acme_p{turn}/__init__.py"] = b"import os\n"
            wheel = zipped(with_record(files))
            payload = statement_on(Package.from_bytes(wheel, name="p.whl"), None, NOW).encode()
        else:
            wheel = self._base(turn)[1]
            old, new = ((b'"1.0"', b'"9.0"'), (b"2026-11-23", b"2026-11-22"))[turn % 3 - 1]
            payload = payload.replace(old, new)
        again = dsse.encode(payload, signatures)
        return self.case("edit-statement", wheel, again, "bad-signature")

    def sign_as_another(self, turn: int) -> Case:
        """Sign with a key that nobody trusts, under its own id or another, or without type."""
        _, wheel, signature = self._base(turn)
        payload, _ = dsse.decode(signature)
        made = self.stranger.sign(dsse.message(payload))
        if turn % 4 == 0:
            again = dsse.encode(payload, {self.stranger.id: made})
            return self.case("sign-as-another", wheel, again, "unknown-key")
        forged = (made, self.author.sign(payload), b"", bytes(64))[turn % 4]
        again = dsse.encode(payload, {self.author.id: forged})
        return self.case("sign-as-another", wheel, again, "bad-signature")

    def bad_terms(self, turn: int) -> Case:
        """Sign with a key that is expired, not yet valid, revoked, of another role or vendor."""
        _, wheel, signature = self._base(turn)
        public, ring = self.author.public, Keyring()
        choices = (
            (ring.trusting(public, name="a", expires=NOW - turn * DAY), "expired-key"),
            (ring.trusting(public, name="a", not_before=NOW + (turn + 1) * DAY), "early-key"),
            (self.keyring.revoking("author", at=NOW - turn * DAY), "revoked-key"),
            (ring.trusting(public, name="a", roles=("reviewer",)), "threshold"),
            (ring.trusting(public, name="a", ids=(f"acme.p{turn}x", "other.*")), "id-not-allowed"),
        )
        keyring, code = choices[turn % len(choices)]
        return replace(self.case("bad-terms", wheel, signature, code), keyring=keyring)

    def too_few(self, turn: int) -> Case:
        """Lack a second key or a reviewer, or give one key's signature twice."""
        _, wheel, signature = self._base(turn)
        if turn % 3 == 0:
            said = json.loads(signature)
            said["signatures"] *= 2
            return self.case("too-few", wheel, json.dumps(said).encode(), "envelope")
        needed = {"author": 1, "reviewer": 1} if turn % 3 == 1 else {"author": 2}
        case = self.case("too-few", wheel, signature, "threshold")
        return replace(case, keyring=self.keyring.requiring(**needed))

    def replay(self, turn: int) -> Case:
        """Give an older version that was signed well, or one signed tomorrow."""
        wheel = zipped(with_record(self.files(turn, version=f"1.{turn}")))
        if turn % 3 == 0:
            late = self.signed(wheel, at=NOW + (turn + 1) * DAY)
            return self.case("replay", wheel, late, "signed-in-future")
        case = self.case("replay", wheel, self.signed(wheel), "downgrade")
        seen = self.keyring.having_seen(f"acme.p{turn}", f"1.{turn + 1}")
        return replace(case, keyring=seen)

    def edit_manifest(self, turn: int) -> Case:
        files = self._base(turn)[0]
        name = f"acme_p{turn}/{FILE_NAME}"
        manifest = Manifest.from_json(files[name])
        changed = (
            manifest.to_json().replace(b'"permissions":[', b'"permissions":["emit:*",', 1),
            manifest.to_json().replace(b'"version":"1.0"', b'"version":"2.0"'),
            manifest.to_json().replace(b'"id":"acme.', b'"id":"evil.'),
            b"{",
            manifest.to_json()[:-1] + b"\xff}",
        )[turn % 5].replace(b",]", b"]")
        files[name] = changed
        return self._repacked("edit-manifest", turn, files, "manifest-digest manifest")

    def strip(self, turn: int) -> Case:
        _, wheel, _ = self._base(turn)
        return self.case("strip", wheel, None, "unsigned")

    def loose_statement(self, turn: int) -> Case:
        """Let the author sign something that can be read in two ways."""
        _, wheel, signature = self._base(turn)
        payload, _ = dsse.decode(signature)
        decode(payload)
        loose = (
            payload + b" " * (turn + 1),
            payload.replace(b'"plugin":"', b'"plugin":"evil.x","plugin":"'),
            payload.replace(b"acme", b"\\u0061cme", 1),
            payload.replace(b'"predicate":{', b'"predicate":{"extra":%d,' % turn),
        )[turn % 4]
        again = envelope(loose, self.author)
        return self.case("loose-statement", wheel, again, "statement")


def envelope(payload: bytes, *keys: SigningKey) -> bytes:
    """Return a payload signed by keys."""
    return dsse.encode(payload, {key.id: key.sign(dsse.message(payload)) for key in keys})
