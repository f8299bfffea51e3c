"""Tampered packages of plugins: each is refused with its reason, and no good one is.

`python tests/soak/signing.py` is the long form.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from tampering import NOW, Case, Maker  # type: ignore[import-not-found] # beside this program

from openautoglm.errors import ContentStoreError
from openautoglm.plugins.signing import ContentStore, verify_bytes


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
    """Judge so many different attacks and good packages, and try to store each."""
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
    """Judge a tampered package: it must be told apart, for its reason, and not be stored."""
    outcome.tampered += 1
    outcome.kinds[case.kind] = outcome.kinds.get(case.kind, 0) + 1
    verdict = verify_bytes(case.wheel, case.signature, case.keyring, now=NOW)
    codes = {reason.code for reason in verdict.reasons}
    if verdict.trusted:
        outcome.admitted.append(f"{case.kind} {outcome.tampered}")
    elif not codes & case.expected:
        outcome.misjudged.append(f"{case.kind} {outcome.tampered}: {sorted(codes)}")
    if verdict.state == "refused":
        with contextlib.suppress(ContentStoreError):
            kept.put(verdict)
            outcome.admitted.append(f"stored: {case.kind} {outcome.tampered}")


def admit(case: Case, outcome: Outcome, kept: ContentStore) -> None:
    """Judge a good package: it must be trusted, and stored as the bytes it is."""
    outcome.good += 1
    verdict = verify_bytes(case.wheel, case.signature, case.keyring, now=NOW)
    if not verdict.trusted:
        outcome.refused.append(f"{outcome.good}: {list(map(str, verdict.reasons))}")
        return
    stored = kept.put(verdict)
    if stored.package.data != case.wheel:
        outcome.refused.append(f"{outcome.good}: stored as something else")
    kept.remove(stored.sha256)


def main() -> None:
    """Run and print the outcome as JSON; exit code 1 where there is a finding."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tampered", type=int, default=1_000)
    parser.add_argument("--good", type=int, default=400)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        outcome = run(
            tampered=options.tampered, good=options.good, seed=options.seed, store=Path(folder)
        )
    sys.stdout.write(json.dumps(vars(outcome), indent=2) + "\n")
    sys.exit(bool(outcome.admitted or outcome.misjudged or outcome.refused))


if __name__ == "__main__":
    main()
