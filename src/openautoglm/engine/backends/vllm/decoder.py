"""vLLM's engine with the face of the native scheduler: sequences in, events out, step by step.

Owns `VllmDecoder`. Token ids go in and come out; what they mean as text, and when a text ends, is
found here as for every local model. Knows nothing of requests or of how vLLM was loaded.
"""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, cast, final

from openautoglm.engine.backends.native.scheduling.sampler import ScoredToken
from openautoglm.engine.backends.native.scheduling.sequence import Event, Row
from openautoglm.engine.backends.vllm.lora import lora_request
from openautoglm.errors import BackendRequestError, OpenAutoGLMError, SchemaError
from openautoglm.settings import need

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import ModuleType

    from openautoglm.engine.backends.native.scheduling.sequence import Sequence
    from openautoglm.engine.generation import FinishReason
    from openautoglm.engine.sampling import SamplingParams

ENDED: Final[Mapping[str | None, FinishReason]] = {"length": "length", "stop": "stop"}
"""vLLM's reasons for an end that are ours too; any other is an error."""


def vllm() -> ModuleType:
    """Return vLLM; raises `MissingExtraError` where it is not installed."""
    return need("vllm", extra="vllm", why="running a model with vLLM")


@final
class VllmDecoder:
    """Decode with vLLM. For one thread.

    Args:
        engine: a `vllm.LLMEngine`, loaded.
    """

    def __init__(self, engine: Any) -> None:  # noqa: ANN401 - vLLM's own
        self._engine = engine
        self._rows: dict[int, Row] = {}
        self._events: list[Event] = []

    def add(self, asked: Sequence) -> None:
        """Take a sequence; one that vLLM refuses has an error at the next step."""
        try:
            self._engine.add_request(
                str(asked.id),
                {"prompt_token_ids": list(asked.prompt)},
                sampling(asked),
                lora_request=lora_request(asked.adapter),
            )
        except Exception as cause:  # noqa: BLE001 - vLLM checks parameters and raises as it likes
            error = _refused(cause)
            self._events.append(Event(sequence=asked.id, finish_reason="error", error=error))
        else:
            self._rows[asked.id] = Row(asked, room=asked.max_tokens)

    def cancel(self, sequence: int) -> None:
        """End a sequence; it is told at the next step. One that is not under way is ignored."""
        row = self._rows.pop(sequence, None)
        if row is not None:
            self._engine.abort_request([str(sequence)])
            self._events.append(row.leave(sequence))

    def drop(self) -> None:
        """End all sequences; nobody is told."""
        with suppress(Exception):  # an engine that failed has let go of them already
            self._engine.abort_request([str(number) for number in self._rows])
        self._rows.clear()

    def step(self) -> list[Event]:
        """Compute once and return what is new."""
        if self._rows and self._engine.has_unfinished_requests():
            for output in self._engine.step():
                row = self._rows.get(int(output.request_id))
                if row is not None:
                    self._take(row, output)
        events, self._events = self._events, []
        return events

    def _take(self, row: Row, output: Any) -> None:  # noqa: ANN401 - a RequestOutput
        (new,) = output.outputs  # n is 1: each answer is a request of its own
        most = _params(row.asked).logprobs or 0
        scores = new.logprobs or [None] * len(new.token_ids)
        for token, scored in zip(new.token_ids, scores, strict=True):
            if row.reason is None:
                row.has_logprobs = row.has_logprobs or scored is not None
                row.take(token, None if scored is None else _scored(token, scored, most))
        if output.finished and row.reason is None:
            _end(row, new.finish_reason)
        self._events += row.tell()
        if row.reason is not None:
            number = row.asked.id
            del self._rows[number]
            if not output.finished:  # a stop string, which vLLM was not told of
                self._engine.abort_request([str(number)])


def _refused(cause: Exception) -> OpenAutoGLMError:
    if isinstance(cause, OpenAutoGLMError):
        return cause
    error = BackendRequestError(
        "vLLM refuses the request",
        got=f"{type(cause).__name__}: {cause}"[:300],
        fix="change what it names; other requests go on",
    )
    error.__cause__ = cause
    return error


def sampling(asked: Sequence) -> Any:  # noqa: ANN401 - a vllm.SamplingParams
    """Return vLLM's parameters for a sequence.

    Raises:
        SchemaError: what the answer must follow is of a form that vLLM cannot be given.
    """
    home = vllm()
    kinds = need("vllm.sampling_params", extra="vllm", why="running a model with vLLM")
    params = _params(asked)
    grammar = None
    if isinstance(asked.grammar, str):
        grammar = kinds.StructuredOutputsParams(grammar=as_lark(asked.grammar))
    return home.SamplingParams(
        n=1,
        temperature=params.temperature,
        top_p=params.top_p,
        top_k=params.top_k,
        min_p=params.min_p,
        repetition_penalty=params.repetition_penalty,
        presence_penalty=params.presence_penalty,
        frequency_penalty=params.frequency_penalty,
        logit_bias=dict(params.bias_pairs) or None,
        seed=asked.seed,
        max_tokens=asked.max_tokens,
        min_tokens=asked.min_tokens,
        logprobs=params.logprobs,
        stop_token_ids=sorted(asked.eos),
        detokenize=False,
        output_kind=kinds.RequestOutputKind.DELTA,
        structured_outputs=grammar,
    )


def _params(asked: Sequence) -> SamplingParams:
    return cast("SamplingParams", asked.params)  # the backend of this package made the sequence


def as_lark(grammar: str) -> str:
    """Return the grammar of a schema in the one language that vLLM hands on to llguidance.

    Raises:
        SchemaError: it is made of several grammars.
    """
    if not grammar.startswith("{"):
        return grammar  # it is written in that language
    parts: list[Mapping[str, object]] = json.loads(grammar)["grammars"]
    if len(parts) == 1:
        (part,) = parts
        if isinstance(lark := part.get("lark_grammar"), str):
            return lark
        if "json_schema" in part:
            return f"start: %json {json.dumps(part['json_schema'])}"
    raise SchemaError(
        "vLLM cannot be given what this answer must follow",
        got=f"{len(parts)} grammars: {', '.join(name for part in parts for name in part)}",
        fix='use backend="native" or backend="transformers" for it',
    )


def _scored(token: int, scored: Mapping[int, Any], most: int) -> ScoredToken:
    """Return the likelihoods of one place: vLLM has the likeliest and, besides, the chosen one."""
    likeliest = sorted(scored.items(), key=lambda pair: pair[1].rank)[:most]
    top = tuple((other, float(given.logprob)) for other, given in likeliest)
    return ScoredToken(token, float(scored[token].logprob), top)


def _end(row: Row, reason: str | None) -> None:
    if reason in ENDED:
        row.end(ENDED[reason])
        return
    row.fail(
        BackendRequestError(
            "vLLM ended the request",
            got=f"finish_reason {reason!r}",
            fix="see vLLM's own log; other requests go on",
        )
    )
