"""The checks of `backend_conformance` as rows with consequence and fix.

Owns `backend_suite`. What is checked, and how, is in `backend_conformance`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from openautoglm.engine.backend import BackendEntry, LoadSpec, ModelInfo
from openautoglm.testing import backend_conformance as checks
from openautoglm.testing.suite import Row, contribution_of, expect, findings_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from openautoglm.engine.backend import Backend
    from openautoglm.plugins.report import Finding
    from openautoglm.testing.backend_conformance import MakeBackend


def backend_suite(
    factory: Callable[[], object], options: Mapping[str, object]
) -> Iterator[Finding]:
    """Check a backend, loaded anew for each row and as often as the row wants.

    Args:
        factory: returns the `BackendEntry`.
        options: `model`, `device` and `dtype` to load, `options` of the backend.
    """
    spec = LoadSpec(
        model=cast("str | None", options.get("model")),
        device=str(options.get("device", "auto")),
        dtype=str(options.get("dtype", "auto")),
        options=cast("Mapping[str, object]", options.get("options", {})),
    )

    def make() -> MakeBackend:
        return lambda: _loaded(factory(), spec)

    return findings_of(ROWS, make, contribution_of("backend", options))


def _loaded(entry: object, spec: LoadSpec) -> Backend:
    return cast("BackendEntry", entry).load(spec)


def _loads(make: MakeBackend) -> str:
    backend = make()
    try:
        info: object = backend.describe()
        expect(isinstance(info, ModelInfo), f"`describe` returned {type(info).__name__}")
        counts = [backend.count_tokens(text) for text in ("", "a", "the quick brown fox")]
        expect(counts == sorted(counts), f"longer texts have fewer tokens: {counts}")
        expect(counts[-1] >= 1, "a text has no tokens")
    finally:
        backend.close()
    return str(info)


def _checked(check: Callable[[MakeBackend], None]) -> Callable[[MakeBackend], str]:
    def asked(make: MakeBackend) -> str:
        check(make)
        return "as promised"

    return asked


_WORDS: Final[dict[Callable[[MakeBackend], None], tuple[str, str]]] = {
    checks.pieces_join_to_the_text: (
        "a reader of the stream sees another text than the caller",
        "hold back half characters; yield the rest before the generation",
    ),
    checks.max_length_bounds_the_tokens: (
        "answers cost more than was allowed",
        'count generated tokens; say "length" only when all were used',
    ),
    checks.a_stop_string_ends_the_text_and_is_not_part_of_it: (
        "programs read past the end of the answer",
        "hold back what may become a stop string until it is settled",
    ),
    checks.greedy_is_repeatable: (
        "the same question has several answers",
        "take the likeliest token at temperature 0",
    ),
    checks.a_seed_is_repeatable: (
        "a job that is resumed mixes two answers",
        "draw from a generator of the request's own, seeded by it",
    ),
    checks.a_batch_equals_single_runs_in_order: (
        "an answer depends on what else is in the batch",
        "mask padding, and keep the position of each request",
    ),
    checks.a_batch_reads_its_prompts_as_it_goes: (
        "a job of millions of rows does not fit into memory",
        "take a window of requests at a time",
    ),
    checks.one_bad_row_harms_no_other: (
        "one bad row ends a job of millions",
        'yield a generation with "error" for it',
    ),
    checks.an_empty_prompt_is_refused: (
        "answers are made of nothing",
        "raise InvalidPromptError",
    ),
    checks.a_stream_can_be_cancelled: (
        "a closed browser tab keeps the model busy",
        "look at `request.cancel` at every token",
    ),
    checks.a_request_cancelled_before_it_starts_says_so: (
        "cancelled work is done",
        "look at `request.cancel` before the first token, in a batch too",
    ),
    checks.two_streams_may_be_read_in_turns: (
        "users get each other's words",
        "keep the state of a stream in the stream",
    ),
    checks.a_schema_is_followed: (
        "programs cannot read the answer",
        "mask the tokens that `request.grammar` forbids",
    ),
    checks.a_model_that_slept_answers_as_before: (
        "a model that was put to sleep to make room is not the same when it is back",
        "let `close`, or `sleep`, give everything back, and load everything from the `LoadSpec`",
    ),
    checks.closing_is_final_and_may_be_repeated: (
        "cleaning up raises, or a closed model answers",
        "raise EngineClosedError after `close`; close twice without a word",
    ),
}

ROWS: Final[tuple[Row[MakeBackend], ...]] = (
    Row(
        name="backend.loads",
        check=_loads,
        threshold="a backend that describes itself and counts tokens",
        consequence="no model can be loaded with it",
        fix="return an object with the methods of `engine.backend.Backend`",
    ),
    *(
        Row(
            name=f"backend.{check.__name__}",
            check=_checked(check),
            threshold=(check.__doc__ or check.__name__).strip().rstrip("."),
            consequence=_WORDS[check][0],
            fix=_WORDS[check][1],
        )
        for check in checks.CHECKS
    ),
)
"""In the order in which they are asked."""
