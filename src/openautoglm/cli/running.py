"""A task over records: what is read goes through the pipeline and comes out in order.

Owns `RunOptions`, `LazyEngine` and `run_task`. Knows nothing of how options are written.
"""

from __future__ import annotations

import inspect
import itertools
import sys
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, final

from openautoglm.cli.exits import CannotStart, Exit, exit_code
from openautoglm.cli.inputs import Reading, Record, find_inputs, read_records, text_record
from openautoglm.cli.outputs import as_json_line, as_text, open_sink
from openautoglm.cli.parameters import (
    apply_settings,
    read_options,
    with_adapter,
    with_sampling,
)
from openautoglm.cli.progress import show_progress
from openautoglm.errors import InvalidParameterError, OpenAutoGLMError
from openautoglm.pipeline.graph import Pipeline
from openautoglm.pipeline.result import Record as PipelineRecord
from openautoglm.pipeline.spec import REQUIRED
from openautoglm.pipeline.steps.render import Render

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from openautoglm.cli.choices import OutputFormat
    from openautoglm.cli.outputs import Sink
    from openautoglm.cli.progress import Progress
    from openautoglm.engine.autoglm import AutoGLM
    from openautoglm.engine.generation import Generation, Json
    from openautoglm.engine.stream import GenerationStream
    from openautoglm.pipeline.result import PipelineResult
    from openautoglm.pipeline.spec import PipelineSpec
    from openautoglm.pipeline.step import Step


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """What `oag run` was asked for; see its help."""

    task: str
    inputs: tuple[str, ...]
    texts: tuple[str, ...]
    reading: Reading
    output: OutputFormat
    out: str | None
    append: bool
    settings: tuple[str, ...]
    model: str | None
    adapter: str | None
    backend: str
    options: tuple[str, ...]
    sampling: Mapping[str, float | None]
    keep_going: bool
    timings: bool
    window: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A record and what came of it."""

    record: Record
    result: PipelineResult

    @property
    def error(self) -> OpenAutoGLMError | None:
        """Why there is nothing to show, or None."""
        return self.result.error

    def data(self, *, timings: bool) -> Mapping[str, Json]:
        """Return the row as JSON values; `text` is there when offsets count in another text."""
        result = self.result
        row: dict[str, Json] = {"source": self.record.source}
        if "id" in self.record.row:
            row["id"] = self.record.row["id"]
        row["outputs"] = dict(result.outputs)
        row["offsets"] = dict(result.offsets)
        if result.offsets and result.text != self.record.text:
            row["text"] = result.text
        if timings:
            row["timings_s"] = {name: round(s, 6) for name, s in result.timings_s.items()}
        row["error"] = None if self.error is None else _error_data(self.error)
        return row


@dataclass(slots=True, kw_only=True)
class Tally:
    """How many records went which way."""

    done: int = 0
    failed: int = 0
    by_machine: int = field(default=0)

    def count(self, error: OpenAutoGLMError | None) -> None:
        """Count one record."""
        self.done += 1
        if error is not None:
            self.failed += 1
            self.by_machine += _is_machines(error)

    @property
    def exit(self) -> Exit:
        """The exit code: the machine's when it failed every record."""
        if not self.failed:
            return Exit.OK
        return Exit.MACHINE if self.by_machine == self.done else Exit.RECORDS_FAILED


@final
class LazyEngine:
    """A model that is loaded when it is first asked for, once; used in a `with`.

    That it cannot be loaded ends the command, not a record: steps' errors are caught, so it is
    raised as `CannotStart`, which is no `Exception`.

    Args:
        load: loads it.
        adapter: name of the adapter that it answers with, or None.
    """

    def __init__(self, load: Callable[[], AutoGLM], *, adapter: str | None = None) -> None:
        self._load = load
        self._own: dict[str, object] = {} if adapter is None else {"adapter": adapter}
        self._engine: AutoGLM | None = None

    def run(self, prompt: object, **options: object) -> Generation:
        """See `AutoGLM.run`."""
        return self.load().run(prompt, **self._own | options)  # type: ignore[arg-type] # it checks itself

    def stream(self, prompt: object, **options: object) -> GenerationStream:
        """See `AutoGLM.stream`."""
        return self.load().stream(prompt, **self._own | options)  # type: ignore[arg-type] # it checks itself

    def batch(self, prompts: Iterable[object], **options: object) -> Iterable[Generation]:
        """See `AutoGLM.batch`."""
        return self.load().batch(prompts, **self._own | options)  # type: ignore[arg-type] # it checks itself

    def count_tokens(self, text: str) -> int:
        """See `AutoGLM.count_tokens`."""
        return self.load().count_tokens(text)

    def __enter__(self) -> LazyEngine:
        return self

    def __exit__(self, *_: object) -> None:
        if self._engine is not None:
            self._engine.close()

    def load(self) -> AutoGLM:
        """Load the model if that was not done yet.

        Raises:
            CannotStart: it cannot be loaded.
        """
        if self._engine is None:
            try:
                self._engine = self._load()
            except OpenAutoGLMError as error:
                raise CannotStart(error) from error
        return self._engine


def run_task(options: RunOptions) -> Exit:
    """Run a task over all records and return the exit code.

    Raises:
        OpenAutoGLMError: the options, the pipeline or the inputs are wrong; nothing was done.
        OutputWriteError: results cannot be written; those before are kept.
    """
    pipeline, shared = apply_settings(Pipeline.load(options.task), options.settings)
    sampling = {name: value for name, value in options.sampling.items() if value is not None}
    pipeline = with_sampling(pipeline, sampling)
    options_by_name = with_adapter(read_options(options.options), options.adapter)
    texts = [text_record(text) for text in options.texts]
    inputs = find_inputs(options.inputs)
    if not inputs and not texts:
        raise InvalidParameterError(
            "nothing to work on", fix="name files, `-` for standard input, or --text '…'"
        )
    records = itertools.chain(read_records(inputs, options.reading), texts)
    many = any(map(options.reading.has_lines, inputs))
    total = None if many else len(inputs) + len(texts)
    on_terminal = options.out is None and sys.stdout is not None and sys.stdout.isatty()
    inputs_of = filling(pipeline.spec, shared)
    with (
        open_sink(options.out, append=options.append) as sink,
        show_progress(total=total, results_on_terminal=on_terminal) as progress,
        LazyEngine(
            lambda: _load_engine(options, options_by_name), adapter=options.adapter
        ) as engine,
    ):
        rows = work_through(pipeline, records, inputs_of, engine=engine, window=options.window)
        tally = _write_all(rows, sink, progress, options, headed=total != 1)
    return tally.exit


def filling(
    spec: PipelineSpec, shared: Mapping[str, Json]
) -> Callable[[Record], Mapping[str, object]]:
    """Return how the inputs of a pipeline are filled from a record; errors as `find_text_input`.

    The text wins over a field of the row, and that over what all records share.
    """
    text_input = find_text_input(spec)

    def inputs_of(record: Record) -> Mapping[str, object]:
        own = {name: record.row[name] for name in spec.inputs if name in record.row}
        return {**shared, **own, text_input: record.text}

    return inputs_of


def find_text_input(spec: PipelineSpec) -> str:
    """Return the input of a pipeline that takes a record's text.

    Raises:
        InvalidParameterError: it has no input `text` and not exactly one that is required.
    """
    required = [name for name, wanted in spec.inputs.items() if wanted.default is REQUIRED]
    if "text" in spec.inputs:
        return "text"
    if len(required) == 1:
        return required[0]
    raise InvalidParameterError(
        f"the pipeline `{spec.name}` has no input `text`",
        got=f"inputs: {', '.join(spec.inputs)}",
        fix="call one of them `text`, or have exactly one without a default",
    )


def work_through(
    pipeline: Pipeline,
    records: Iterable[Record],
    inputs_of: Callable[[Record], Mapping[str, object]],
    *,
    engine: LazyEngine,
    window: int,
) -> Iterator[Row]:
    """Yield a row for each record in order; those that could not be read stay in their places."""
    waiting: deque[Record] = deque()  # read, and not yet given out
    needs_model = any(may_need_model(c.step) for c in pipeline.spec.components.values())

    def given() -> Iterator[PipelineRecord]:
        for record in records:
            waiting.append(record)
            is_read = record.error is None
            if is_read and needs_model:
                engine.load()
            inputs = inputs_of(record) if is_read else {}
            yield PipelineRecord(inputs=inputs, source=record.source, error=record.error)

    for result in pipeline.stream(given(), engine=engine, on_error="return", window=window):
        yield Row(record=waiting.popleft(), result=result)


def may_need_model(step: Step) -> bool:
    """Return whether a step can reach the model.

    Then it is loaded before the first record, so that no step's seconds hold its loading.
    """
    return "context" in inspect.signature(step.run).parameters and not isinstance(step, Render)


def _write_all(
    rows: Iterable[Row], sink: Sink, progress: Progress, options: RunOptions, *, headed: bool
) -> Tally:
    tally = Tally()
    for row in rows:
        tally.count(row.error)
        if row.error is not None:
            progress.tell(_failure(row.record.source, row.error))
        if options.output == "jsonl":
            sink.write(as_json_line(row.data(timings=options.timings)))
        elif row.error is None:
            sink.write(as_text(row.result.outputs, heading=row.record.source if headed else None))
            if options.timings:
                progress.tell(_timings_line(row.record.source, row.result.timings_s))
        progress.advance()
        if row.error is not None and not options.keep_going:
            progress.tell("stopped at the first error, as asked")
            return tally
    sink.commit()
    if tally.failed and tally.done > 1:
        progress.tell(f"{tally.failed} of {tally.done} records failed")
    return tally


def _failure(source: str, error: OpenAutoGLMError) -> str:
    return str(error) if source in error.problem else f"{source}: {error}"


def _timings_line(source: str, timings_s: Mapping[str, float]) -> str:
    return f"{source}: " + ", ".join(f"{name} {s:.3f} s" for name, s in timings_s.items())


def _error_data(error: OpenAutoGLMError) -> Mapping[str, Json]:
    return {
        "code": error.code,
        "problem": error.problem,
        "got": None if error.got is None else str(error.got),
        "fix": error.fix,
    }


def _is_machines(error: OpenAutoGLMError) -> bool:
    """Whether the model or the machine failed this record, and not its content."""
    cause = error.__cause__
    root = cause if isinstance(cause, OpenAutoGLMError) else error
    return exit_code(root) is Exit.MACHINE


def _load_engine(options: RunOptions, by_name: Mapping[str, Json]) -> AutoGLM:
    from openautoglm.engine.autoglm import AutoGLM

    return AutoGLM(options.model, backend=options.backend, **by_name)  # type: ignore[arg-type] # it checks them itself
