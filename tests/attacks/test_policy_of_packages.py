"""From the bytes of a package to the decision: what was tampered with runs nowhere."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

SOAK = Path(__file__).parents[1] / "soak"
PROGRAM = f"""
import json, sys
sys.path.insert(0, {str(SOAK)!r})
from tampering import NOW, Maker
from openautoglm.plugins.signing import verify_bytes
from openautoglm.policy import Policy
from openautoglm.policy.admission import HostFacts, admission_input

def levels(case):
    verdict = verify_bytes(case.wheel, case.signature, case.keyring, now=NOW)
    if verdict.package is None:
        return [verdict.state, []]
    manifest = json.loads(verdict.package.manifest.to_json())
    document = lambda level: admission_input(
        manifest=manifest, signature=verdict.to_json(), isolation=level,
        is_downgrade=verdict.is_downgrade, host=HostFacts(sandbox=True, wasm=True))
    return [verdict.state, [
        level for level in ("L0", "L1", "L2", "L3") if policy.decide(document(level)).allow]]

maker = Maker(seed=3)
with Policy.default() as policy:
    attacks = [[case.kind, *levels(case)] for case, _ in zip(maker.tampered(), range(100))]
    good = [levels(case) for case, _ in zip(maker.good(), range(10))]
print(json.dumps([attacks, good]))
"""


def test_a_refused_package_runs_nowhere_and_an_untrusted_one_only_in_a_sandbox() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    attacks, good = json.loads(done.stdout)
    assert {tuple(levels) for state, levels in good} == {("L0", "L1", "L2", "L3")}
    for kind, state, levels in attacks:
        assert state != "trusted", kind
        assert levels in ([], ["L2", "L3"]), kind
        assert (levels == []) == (state == "refused"), kind
    assert {state for _, state, _ in attacks} == {"refused", "unsigned", "untrusted"}
