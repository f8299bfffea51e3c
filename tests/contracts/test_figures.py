"""The figures on the first pages are those that were measured."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("page", ["README.md", "README.zh-CN.md"])
def test_the_scores_of_nano_are_the_measured_ones(page: str) -> None:
    measured = json.loads((ROOT / "benchmarks/results/nano.json").read_text(encoding="utf-8"))
    scores = measured["scores"]["handwritten"]
    f1 = scores["extract"]["f1"]
    rows = [
        [scores["classify"]["accuracy"]["all"]],
        [f1["all"]],
        [f1["order_id"], f1["date"]],
        [f1["name"], f1["product"], f1["issue"]],
        [scores["summarize"]["token_f1"]],
    ]
    comma = "、" if "zh" in page else ", "
    text = (ROOT / page).read_text(encoding="utf-8")
    for row in rows:
        assert f"| {comma.join(f'{value:.2f}' for value in row)} |" in text
