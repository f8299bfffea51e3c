"""Measure nano on held-out texts and on hand-written ones, constrained and free.

    python models/nano/evaluate.py --model runs/nano/model --out runs/nano/report.json

The held-out texts come from banks under data/heldout (other messages, names and products; no recombination, no
noise); the hand-written ones carry spans that also count as right (``accept``), and the strict score is given too.
"""

import argparse
import json
import random
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

import answers
import grammar
from banks import HELDOUT, LABELS, LANGS, Label, Lang, load, parse_sections, read_lines
from decode import Decoder
from generate import Case
from instructions import Task, canonical
from template import FIELDS, Facts, expand, fill, unmark

HANDWRITTEN = Path(__file__).parent / "handwritten.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A text to be judged, with the spans that count as right for each field."""

    case: Case
    accept: dict[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(slots=True)
class Tally:
    """Counts of one field or of all: F1 counts filled values."""

    right: int = 0
    wrong: int = 0
    missed: int = 0

    def add(self, gold: str | None, got: str | None, *, ok: bool) -> None:
        """Count one value."""
        if ok:
            self.right += got is not None
        else:
            self.wrong += got is not None
            self.missed += gold is not None

    @property
    def f1(self) -> float:
        """Return 2TP / (2TP + FP + FN)."""
        return 2 * self.right / max(1, 2 * self.right + self.wrong + self.missed)


def heldout(count: int, seed: int = 20) -> list[Item]:
    """Fill held-out messages with held-out names and products, half of them in each language."""
    r, items = random.Random(seed), []
    for lang in LANGS:
        banks = load(lang, HELDOUT)
        for i in range(count // 2):
            message = banks.messages[i % len(banks.messages)]
            text, facts = unmark(fill(message.text, r, banks, 0.0))
            items.append(Item(case=Case(lang=lang, text=text, facts=facts, label=message.label)))
    return items


def heldout_general(seed: int = 21) -> list[Item]:
    """Return the held-out texts that are no support messages."""
    r, items = random.Random(seed), []
    nothing = Facts(**dict.fromkeys(FIELDS))
    for lang in LANGS:
        for entry in load(lang, HELDOUT).general:
            lead = expand(entry.lead, r)
            text = lead + ("" if lang == "zh" else " ") + expand(entry.rest, r)
            items.append(Item(case=Case(lang=lang, text=text.strip(), facts=nothing, label="other", lead=lead)))
    return items


def handwritten(path: Path = HANDWRITTEN) -> list[Item]:
    """Load the hand-written texts."""
    items = []
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        facts = Facts(**{key: row["facts"].get(key) for key in FIELDS})
        accept = {key: tuple(spans) for key, spans in row.get("accept", {}).items()}
        case = Case(lang=row["lang"], text=row["text"], facts=facts, label=row["label"])
        items.append(Item(case=case, accept=accept))
    return items


def _parse(answer: str) -> dict[str, str | None] | None:
    try:
        record = json.loads(answer)
    except json.JSONDecodeError:
        return None
    return record if isinstance(record, dict) and set(record) == set(FIELDS) else None


Prompt = Callable[[Task, Case], str]


def score_extract(decoder: Decoder, items: Iterable[Item], prompt: Prompt, *, constrained: bool) -> dict[str, Any]:
    """Return field F1 (lenient and strict), by field and by language, validity and exact records."""
    tallies: dict[str, Tally] = {}
    valid = exact = count = copied = values = 0
    wrong = []
    for item in items:
        case, count = item.case, count + 1
        rules = grammar.extract_grammar(case.text) if constrained else None
        answer = decoder.answer(prompt("extract", case), rules)
        record = _parse(answer)
        valid += record is not None
        record = record or dict.fromkeys(FIELDS)
        misses = {}
        for key, gold in case.facts.as_dict().items():
            got = record[key]
            strict = got == gold
            ok = strict or (got is not None and got in item.accept.get(key, ()))
            for name in ("all", key, case.lang):
                tallies.setdefault(name, Tally()).add(gold, got, ok=ok)
            tallies.setdefault("strict", Tally()).add(gold, got, ok=strict)
            values += got is not None
            copied += got is not None and str(got) in case.text
            if not ok:
                misses[key] = [gold, got]
        exact += not misses
        if misses:
            wrong.append({"text": case.text, **misses})
    scores = {name: round(tally.f1, 4) for name, tally in tallies.items()}
    return {
        "count": count, "f1": scores, "valid": valid / count, "exact": exact / count,
        "copied": copied / max(1, values), "wrong": wrong,
    }  # fmt: skip


def score_classify(decoder: Decoder, items: Iterable[Item], prompt: Prompt, *, constrained: bool) -> dict[str, Any]:
    """Return the accuracy, by label and by language."""
    hits: Counter[str] = Counter()
    seen: Counter[str] = Counter()
    wrong = []
    for item in items:
        case = item.case
        answer = decoder.answer(prompt("classify_json", case), grammar.label_grammar() if constrained else None)
        ok = answer == answers.label_json(case.label or "other")
        for key in ("all", case.lang, str(case.label)):
            hits[key] += ok
            seen[key] += 1
        if not ok:
            wrong.append({"text": case.text, "label": [case.label, answer]})
    return {
        "count": seen["all"],
        "accuracy": {k: round(hits[k] / seen[k], 4) for k in seen},
        "wrong": wrong,
    }


def _token_f1(gold: str, got: str, lang: Lang) -> float:
    a, b = (
        (Counter(gold), Counter(got)) if lang == "zh" else (Counter(gold.lower().split()), Counter(got.lower().split()))
    )
    same = sum((a & b).values())
    return 2 * same / max(1, sum(a.values()) + sum(b.values()))


def score_summarize(decoder: Decoder, items: Iterable[Item], prompt: Prompt) -> dict[str, Any]:
    """Return exact match and token F1 against the rule-made summary."""
    exact, overlap, wrong = 0, 0.0, []
    count = 0
    for item in items:
        case, count = item.case, count + 1
        label: Label = case.label or "other"
        gold = (
            answers.summary(case.facts, label, case.lang)
            if case.lead is None
            else answers.lead_summary(case.lead, case.lang)
        )
        got = decoder.answer(prompt("summarize", case))
        exact += got == gold
        overlap += _token_f1(gold, got, case.lang)
        if got != gold:
            wrong.append({"text": case.text, "summary": [gold, got]})
    return {
        "count": count,
        "exact": exact / count,
        "token_f1": round(overlap / count, 4),
        "wrong": wrong,
    }


def _canonical(task: Task, case: Case) -> str:
    return canonical(task, case.text, "en")


def _own_language(task: Task, case: Case) -> str:
    return canonical(task, case.text, case.lang)


def _unseen_wording(seed: int = 22) -> Prompt:
    r = random.Random(seed)
    table = {lang: parse_sections(read_lines(HELDOUT / f"instructions_{lang}.txt")) for lang in LANGS}

    def prompt(task: Task, case: Case) -> str:
        return r.choice(table[case.lang][task]) + "\n" + case.text

    return prompt


def report(decoder: Decoder, count: int, parts: frozenset[str]) -> dict[str, Any]:
    """Return the measurements of the parts: ``main``, ``free`` (no grammar), ``wording`` (other requests)."""
    texts = heldout(count)
    out: dict[str, Any] = {"labels": list(LABELS)}
    if "main" in parts:
        out["general"] = score_summarize(decoder, heldout_general(), _canonical)
    for name, items in {"heldout": texts, "handwritten": handwritten()}.items():
        scores = out[name] = {}
        if "main" in parts:
            scores.update(_all_tasks(decoder, items, _canonical))
        if "free" in parts:
            scores["extract_free"] = score_extract(decoder, items, _canonical, constrained=False)
            scores["classify_free"] = score_classify(decoder, items, _canonical, constrained=False)
    if "wording" in parts:
        chinese = [item for item in texts if item.case.lang == "zh"]
        out["unseen_wording"] = _all_tasks(decoder, texts, _unseen_wording())
        out["chinese_wording"] = _all_tasks(decoder, chinese, _own_language)
    return out


def _all_tasks(decoder: Decoder, items: list[Item], prompt: Prompt) -> dict[str, Any]:
    return {
        "extract": score_extract(decoder, items, prompt, constrained=True),
        "classify": score_classify(decoder, items, prompt, constrained=True),
        "summarize": score_summarize(decoder, items, prompt),
    }


def brief(scores: object) -> object:
    """Return a report without its lists of errors."""
    if isinstance(scores, dict):
        return {key: brief(value) for key, value in scores.items() if key != "wrong"}
    return scores


def main() -> None:
    """Measure a model folder and write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--parts", nargs="+", default=["main", "free", "wording"])
    args = parser.parse_args()
    torch.set_num_threads(1)
    scores = report(Decoder(args.model), args.count, frozenset(args.parts))
    if args.out:
        args.out.write_text(json.dumps(scores, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(brief(scores), ensure_ascii=False, indent=1))


if __name__ == "__main__":
    main()
