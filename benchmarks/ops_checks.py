"""Check the built-in operators: every kernel this machine runs, against its reference.

python benchmarks/ops_checks.py --json benchmarks/results/ops_checks.json
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path

from openautoglm import ops

FIRST = ("add", "mul", "scale_add", "bias_gelu", "rms_norm", "softmax_cross_entropy")


def main() -> None:
    """Check, print a table of what was asked, and keep the reports."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--profile", choices=("full", "quick"), default="full")
    args = parser.parse_args()
    reports = {name: ops.check(name, profile=args.profile) for name in FIRST}
    print("| operator | subject | rows | calls | failures | skipped |")
    print("|---|---|---|---|---|---|")
    for name, report in reports.items():
        for subject in dict.fromkeys(row.subject for row in report.rows):
            rows = [row for row in report.rows if row.subject == subject]
            count = Counter(row.status for row in rows)
            calls = sum(row.cases for row in rows)
            cells = (name, subject, len(rows), calls, count["fail"], count["skip"])
            print("| " + " | ".join(map(str, cells)) + " |")
    if args.json:
        kept = {name: json.loads(report.to_json()) for name, report in reports.items()}
        args.json.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
