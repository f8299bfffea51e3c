"""A batch, described: rows of a source, what is done with each, the sink of what comes out.

Owns `JobSpec`, `Budget` and `Rate`. Frozen, and the same as its JSON, which is what the ledger
keeps. Knows nothing of running it; `BatchJob` is the same with a way to run.
"""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - msgspec reads the annotations
from typing import Literal, TypeAlias, final

import msgspec

Assignment: TypeAlias = Literal["dynamic", "static"]
OnDuplicate: TypeAlias = Literal["error", "first", "allow"]


@final
class Budget(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a job may use before it pauses; None is without end.

    Attributes:
        rows: answered or failed.
        tokens: computed, prompts included.
        seconds: of running, over all times it was resumed.
        error_rate: part of rows that failed, 0 to 1, judged from the 100th row on.
    """

    rows: int | None = None
    tokens: int | None = None
    seconds: float | None = None
    error_rate: float | None = 0.5


@final
class Rate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How fast a job may go, all its workers together; None is as fast as it can.

    Attributes:
        rows_per_s: begun in a second.
        tokens_per_s: computed in a second, prompts included.
    """

    rows_per_s: float | None = None
    tokens_per_s: float | None = None


class JobSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Rows of a source through a model into a sink, each row's answer exactly once.

    One of `pipeline`, `template`, `prompt` and `function` says what is done with a row.

    Attributes:
        source: URL or path of the rows.
        sink: URL or path; one file, a folder of parts, or a table.
        name: for people; made of source and sink where it is empty.
        pipeline: a task's name, or the text of a pipeline's YAML.
        template: a prompt's text with {columns}, or the messages of a chat; or where such a text
            is: a file, or `name@version` of the prompt store.
        prompt: a prompt of the store, as a template: `name`, `name@version` or `name@alias`. What
            it is when the job is made stays the job's.
        function: `module:name` of a function of a row's values that returns a mapping; may be
            `async`.
        schema: JSON schema of the answers to `template` or `prompt`.
        model: folder, name or URL of the model; None is the one of the settings.
        backend: what runs it.
        options: others of `AutoGLM`.
        sampling: parameters by name, such as `max_length`.
        settings: values for inputs of the pipeline that no column fills.
        columns: input to column, where they are not called the same.
        keep: columns that go to the sink as they are.
        id_column: names a row; without it, the source's own key does.
        on_duplicate_id: a job with an id twice is refused, or has the first alone, or both.
        shard_rows: rows that are planned, tried again and committed together.
        workers: processes; each has a model of its own.
        concurrency: rows under way in each.
        resources: what each worker needs of a machine of a cluster, by name: `CPU`, 1 where it is
            left out, `GPU`, `memory` in bytes, devices such as `oag-camera`; ignored on one.
        assignment: whoever is free takes the next shard, or each worker has every n-th.
        tries: of a row whose error may pass; then it goes into quarantine.
        backoff_s: before the second try; doubled for each one further, a minute at most.
        max_row_bytes: rows longer than that are failed rows.
        budget: what it may use.
        rate: how fast it may go.
        prompts: filled in when the job is made: `name@version` of what came from the prompt store,
            by where it stands, `template` or a component of the pipeline.
        cache: whether rows with the same values are answered once, also by earlier jobs.
    """

    source: str
    sink: str
    name: str = ""
    pipeline: str | None = None
    template: str | tuple[Mapping[str, str], ...] | None = None
    prompt: str | None = None
    function: str | None = None
    schema: Mapping[str, object] | None = None
    model: str | None = None
    backend: str = "auto"
    options: Mapping[str, object] = {}
    sampling: Mapping[str, object] = {}
    settings: Mapping[str, object] = {}
    columns: Mapping[str, str] = {}
    keep: tuple[str, ...] = ()
    id_column: str | None = None
    on_duplicate_id: OnDuplicate = "error"
    shard_rows: int = 1000
    workers: int = 1
    concurrency: int = 64
    resources: Mapping[str, float] = {}
    assignment: Assignment = "dynamic"
    tries: int = 5
    backoff_s: float = 1.0
    max_row_bytes: int = 1 << 20
    budget: Budget = Budget()
    rate: Rate = Rate()
    cache: bool = False
    prompts: Mapping[str, str] = {}
