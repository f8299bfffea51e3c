"""What every task must do: a YAML file that loads, says what it is and runs.

Owns `task_suite`. It runs on the echo backend, so it shows that records flow, not that answers are
good.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

from openautoglm.engine.autoglm import AutoGLM
from openautoglm.pipeline.catalog import STEPS
from openautoglm.pipeline.graph import Pipeline
from openautoglm.pipeline.loader import MAX_BYTES, load_spec
from openautoglm.pipeline.spec import REQUIRED
from openautoglm.testing.echo import EchoBackend
from openautoglm.testing.suite import Row, contribution_of, expect, findings_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from importlib.resources.abc import Traversable

    from openautoglm.plugins.report import Finding

TEXTS: Final = ("Hello. The parcel A-17 came late.", "<p>订单没有收到。</p>")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Subject:
    file: Traversable
    records: Sequence[Mapping[str, object]]
    answers: Sequence[str]

    def pipeline(self) -> Pipeline:
        text = self.file.read_text(encoding="utf-8")
        return Pipeline.from_spec(load_spec(text, name=self.file.name, steps=STEPS))

    def inputs(self) -> Sequence[Mapping[str, object]]:
        """Return the records given, or texts for the inputs that must be given."""
        if self.records:
            return self.records
        needed = [n for n, i in self.pipeline().spec.inputs.items() if i.default is REQUIRED]
        return [dict.fromkeys(needed, text) for text in TEXTS]

    def engine(self) -> AutoGLM:
        return AutoGLM(backend=EchoBackend(self.answers))


def task_suite(factory: Callable[[], object], options: Mapping[str, object]) -> Iterator[Finding]:
    """Check a task's file, opened anew for each row.

    Args:
        factory: returns the file.
        options: `records`: inputs by name to run it with, `answers`: what the echo backend says.
    """

    def make() -> _Subject:
        return _Subject(
            file=cast("Traversable", factory()),
            records=cast("Sequence[Mapping[str, object]]", options.get("records", ())),
            answers=cast("Sequence[str]", options.get("answers", ())),
        )

    return findings_of(ROWS, make, contribution_of("task", options))


def _is_a_text(subject: _Subject) -> str:
    size = len(subject.file.read_bytes())
    subject.file.read_text(encoding="utf-8")
    expect(0 < size <= MAX_BYTES, f"{size} bytes")
    return f"{size} bytes"


def _makes_a_graph(subject: _Subject) -> str:
    return f"{len(subject.pipeline().spec.components)} components"


def _says_what_it_is(subject: _Subject) -> str:
    spec = subject.pipeline().spec
    expect(spec.description, "it has no description")
    silent = [name for name, given in spec.inputs.items() if not given.description]
    expect(not silent, f"the input `{silent[0] if silent else ''}` has no description")
    return spec.description


def _is_what_it_writes(subject: _Subject) -> str:
    pipeline = subject.pipeline()
    expect(Pipeline.from_yaml(pipeline.to_yaml()) == pipeline, "written and read it differs")
    return "equal"


def _runs(subject: _Subject) -> str:
    pipeline = subject.pipeline()
    records = subject.inputs()
    with subject.engine() as engine:
        for inputs in records:
            result = pipeline.run(engine=engine, **inputs)  # type: ignore[arg-type]  # inputs are any values
            absent = set(pipeline.spec.outputs) - set(result.outputs)
            expect(not absent, f"a record filled no {sorted(absent)}")
    return f"{len(records)} records"


def _streams(subject: _Subject) -> str:
    pipeline = subject.pipeline()
    records = [dict(inputs) for inputs in subject.inputs() for _ in range(2)]
    with subject.engine() as engine:
        results = list(pipeline.stream(records, engine=engine, window=3))
    expect(len(results) == len(records), f"{len(results)} results of {len(records)} records")
    return f"{len(records)} records together"


ROWS: Final[tuple[Row[_Subject], ...]] = (
    Row(
        name="task.reads",
        check=_is_a_text,
        threshold=f"UTF-8, at most {MAX_BYTES} bytes",
        consequence="it cannot be loaded",
        fix="save the file as UTF-8",
    ),
    Row(
        name="task.graph",
        check=_makes_a_graph,
        threshold="a valid pipeline of steps that are there",
        consequence="it cannot be loaded",
        fix="correct the line that is named",
    ),
    Row(
        name="task.describes",
        check=_says_what_it_is,
        threshold="a description, of each input too",
        consequence="`oag pipeline list` and the studio show nothing for it",
        fix="add `description:` to the pipeline and to its inputs",
        warns=True,
    ),
    Row(
        name="task.writes",
        check=_is_what_it_writes,
        threshold="written as YAML and read again it is the same pipeline",
        consequence="the studio changes it when it saves it",
        fix="use steps that are in the registry",
    ),
    Row(
        name="task.runs",
        check=_runs,
        threshold="every record fills every output, on the echo backend",
        consequence="records fail or end without a result",
        fix="connect each output to a step that always runs",
    ),
    Row(
        name="task.streams",
        check=_streams,
        threshold="as many results as records",
        consequence="a batch fails that single runs do not",
        fix="run the records one by one to see which fails",
    ),
)
"""In the order in which they are asked."""
