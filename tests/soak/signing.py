"""Tampered packages of plugins: each is refused with its reason, and no good one is.

`python tests/soak/signing.py` is the long form.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from table import at_least, finish, none, told  # type: ignore[import-not-found] # beside
from tampering import NOW, Case, Maker  # type: ignore[import-not-found] # beside this program

from openautoglm.plugins.inventory.store import SIGNATURE, ContentStore
from openautoglm.plugins.signing import judge, verify_bytes

if TYPE_CHECKING:
    from openautoglm.plugins.signing import Package, Verdict


@dataclass
class Outcome:
    """What a run came to; everything under `admitted`, `misjudged` and `refused` is a finding."""

    tampered: int = 0
    kinds: dict[str, int] = field(default_factory=dict)
    good: int = 0
    admitted: list[str] = field(default_factory=list)
    misjudged: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)


def run(*, tampered: int, good: int, seed: int, store: Path) -> Outcome:
    """Judge so many different attacks and good packages; what is whole is stored and opened."""
    outcome, maker, kept = Outcome(), Maker(seed), ContentStore(store)
    seen: set[str] = set()
    for case in maker.tampered():
        if len(seen) >= tampered:
            break
        if case.identity not in seen:
            seen.add(case.identity)
            attack(case, outcome, kept)
    for case, _ in zip(maker.good(), range(good), strict=False):
        admit(case, outcome, kept)
    return outcome


def attack(case: Case, outcome: Outcome, kept: ContentStore) -> None:
    """Judge a tampered package: it must be told apart, for its reason, out of the store as well."""
    outcome.tampered += 1
    outcome.kinds[case.kind] = outcome.kinds.get(case.kind, 0) + 1
    verdict = verify_bytes(case.wheel, case.signature, case.keyring, now=NOW)
    codes = {reason.code for reason in verdict.reasons}
    if verdict.trusted:
        outcome.admitted.append(f"{case.kind} {outcome.tampered}")
    elif not codes & case.expected:
        outcome.misjudged.append(f"{case.kind} {outcome.tampered}: {sorted(codes)}")
    if verdict.package is not None and stored_verdict(case, kept, verdict.package).trusted:
        outcome.admitted.append(f"stored: {case.kind} {outcome.tampered}")


def admit(case: Case, outcome: Outcome, kept: ContentStore) -> None:
    """Judge a good package: it must be trusted, and stored as the bytes it is."""
    outcome.good += 1
    verdict = verify_bytes(case.wheel, case.signature, case.keyring, now=NOW)
    if not verdict.trusted:
        outcome.refused.append(f"{outcome.good}: {list(map(str, verdict.reasons))}")
        return
    if verdict.package is None or not stored_verdict(case, kept, verdict.package).trusted:
        outcome.refused.append(f"{outcome.good}: not trusted out of the store")


def stored_verdict(case: Case, kept: ContentStore, package: Package) -> Verdict:
    """Store a package, open what was stored, and judge that as a host does that loads it."""
    beside = {} if case.signature is None else {SIGNATURE: case.signature}
    with kept.staged(package, beside=beside) as staged:
        staged.commit()
    stored = kept.open(package.sha256, contents=staged.contents)
    kept.remove(package.sha256)
    return judge(stored, stored.signature, case.keyring, now=NOW)


def main() -> None:
    """Run, print the outcome as JSON and a table; exit code 1 where there is a finding."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tampered", type=int, default=1_000)
    parser.add_argument("--good", type=int, default=400)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        outcome = run(
            tampered=options.tampered, good=options.good, seed=options.seed, store=Path(folder)
        )
    rows = [
        at_least("tampered packages", outcome.tampered, options.tampered),
        told("kinds of tampering", len(outcome.kinds)),
        none("admitted", outcome.admitted),
        none("refused for another reason", outcome.misjudged),
        at_least("good packages", outcome.good, options.good),
        none("of them refused", outcome.refused),
    ]
    finish("Tampered packages", outcome, rows)


if __name__ == "__main__":
    main()
