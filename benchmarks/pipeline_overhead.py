"""What a pipeline costs for each record beyond the model: the model here answers at once."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from openautoglm import Pipeline, PromptTemplate
from openautoglm.engine.generation import Generation
from timing import medians_s, report

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

ROUNDS = 15
RECORDS = 256  # a round
CLEAN = "Hello, this is Li Wei. The kettle of my order A-1047 leaks since Monday. Please help."
DIRTY = f"<p>{CLEAN.replace(' ', '&nbsp;')}</p>"
LONG = CLEAN.replace("Hello", "And") * 60  # about 5,000 characters
FACTS: dict[str, object] = {
    "name": "Li Wei",
    "product": None,
    "order_id": "A-1047",
    "date": None,
    "issue": "leaks",
}
THREE_STEPS = """
name: ask
inputs: {text: {to: ask.text}}
components:
  ask: {type: prompt.render, params: {template: "Summarize in one sentence.\\n{text}"}}
  generate: {type: model.generate}
  parse: {type: output.parse, params: {kind: text}}
connections:
  - {sender: ask.prompt, receiver: generate.prompt}
  - {sender: generate.generation, receiver: parse.generation}
outputs: {result: parse.value}
"""


class InstantEngine:
    """Answers every prompt with the same, at once."""

    def __init__(self) -> None:
        spans = {"/name": (0, 6), "/order_id": (10, 16), "/issue": (20, 25)}
        self._facts = Generation(text="{}", finish_reason="stop", parsed=FACTS, offsets=spans)
        self._text = Generation(text="It leaks.", finish_reason="stop")

    def run(self, prompt: object, **options: object) -> Generation:
        """Answer one."""
        return next(self.batch([prompt], **options))

    def batch(self, prompts: Iterable[object], **options: object) -> Iterator[Generation]:
        """Answer many."""
        answer = self._text if options.get("schema") is None else self._facts
        return (answer for _ in prompts)

    def count_tokens(self, text: str) -> int:
        """Count roughly."""
        return len(text) // 4 + 1


def main() -> None:
    """Measure and report."""
    engine = InstantEngine()
    three, extract = Pipeline.from_yaml(THREE_STEPS), Pipeline.load("extract")
    cases: dict[str, Callable[[], object]] = {
        "a loop: format, generate": partial(loop, engine),
        "3 steps, one at a time (`run`)": lambda: [
            three.run(text=CLEAN, engine=engine) for _ in range(RECORDS)
        ],
        "3 steps, `stream`": partial(stream, three, CLEAN, engine),
        "`extract`, a clean message": partial(stream, extract, CLEAN, engine),
        "`extract`, an HTML message": partial(stream, extract, DIRTY, engine),
        "`extract`, 5,000 characters": partial(stream, extract, LONG, engine),
    }
    medians = medians_s(cases, rounds=ROUNDS)
    base_s = medians["a loop: format, generate"]
    of_text = {
        "`extract`, a clean message": text_share(extract, CLEAN, engine),
        "`extract`, an HTML message": text_share(extract, DIRTY, engine),
        "`extract`, 5,000 characters": text_share(extract, LONG, engine),
    }
    rows = [
        {
            "pipeline": name,
            "µs a record": round(median_s / RECORDS * 1e6, 1),
            "µs over the loop": round((median_s - base_s) / RECORDS * 1e6, 1),
            "of it in the text steps (%)": of_text.get(name),
        }
        for name, median_s in medians.items()
    ]
    report(
        "A pipeline beyond its model",
        rows,
        notes=f"A model that answers at once, {RECORDS} records a round, median of {ROUNDS} "
        "interleaved rounds.",
    )


def loop(engine: InstantEngine) -> None:
    """Do by hand what the three steps do."""
    template = PromptTemplate("Summarize in one sentence.\n{text}", ["text"])
    prompts = (template.format(text=CLEAN) for _ in range(RECORDS))
    for generation in engine.batch(prompts):
        generation.text.strip()


def stream(pipeline: Pipeline, text: str, engine: InstantEngine) -> None:
    """Send the same text through a pipeline again and again."""
    for result in pipeline.stream((text for _ in range(RECORDS)), engine=engine):
        if not result.outputs:
            raise SystemExit("a record has no result")


def text_share(pipeline: Pipeline, text: str, engine: InstantEngine) -> int:
    """Return how much of the steps' time the three text steps take, in percent."""
    spent = {"text": 0.0, "all": 0.0}
    for result in pipeline.stream((text for _ in range(RECORDS)), engine=engine):
        for name, seconds in result.timings_s.items():
            spent["all"] += seconds
            spent["text"] += seconds if name in {"check", "clean", "segment"} else 0.0
    return round(100 * spent["text"] / spent["all"])


if __name__ == "__main__":
    main()
