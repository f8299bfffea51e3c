"""What goes between a backend in a worker and the host, as plain values.

Owns the plain forms of `Request`, `LoadSpec`, `ModelInfo` and `Generation`. A compiled grammar does
not travel: the form does, and is compiled where it arrives. Knows no transport.
"""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import TYPE_CHECKING, TypeAlias, cast

from openautoglm.engine.asking import formed
from openautoglm.engine.backend import LoadSpec, ModelInfo, Request
from openautoglm.engine.generation import Generation, Timings, TokenLogprob
from openautoglm.engine.prompt import Message
from openautoglm.engine.sampling import BASIC, SamplingParams
from openautoglm.plugins.wire import error_from, plain_error

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from openautoglm.engine.generation import FinishReason
    from openautoglm.engine.prompt import Prompt

Plain: TypeAlias = dict[str, object]


def plain_generation(generation: Generation) -> Plain:
    """Return a generation as plain values."""
    error = generation.error
    return {
        "text": generation.text,
        "finish_reason": generation.finish_reason,
        "prompt_tokens": generation.prompt_tokens,
        "completion_tokens": generation.completion_tokens,
        "timings": asdict(generation.timings),
        "parsed": generation.parsed,
        "offsets": {name: list(span) for name, span in generation.offsets.items()},
        "model": generation.model,
        "error": None if error is None else plain_error(error),
        "logprobs": [[one.token, one.logprob, one.top] for one in generation.logprobs],
        "left_out": generation.left_out,
        "others": [plain_generation(other) for other in generation.others],
    }


def generation_from(plain: Mapping[str, object]) -> Generation:
    """Return the generation that `plain_generation` wrote down."""
    error = plain["error"]
    offsets = cast("Mapping[str, Sequence[int]]", plain["offsets"])
    return Generation(
        text=cast("str", plain["text"]),
        finish_reason=cast("FinishReason", plain["finish_reason"]),
        prompt_tokens=cast("int", plain["prompt_tokens"]),
        completion_tokens=cast("int", plain["completion_tokens"]),
        timings=Timings(**cast("dict[str, float]", plain["timings"])),
        parsed=plain["parsed"],
        offsets={name: (span[0], span[1]) for name, span in offsets.items()},
        model=cast("str", plain["model"]),
        error=None if error is None else error_from(error),
        logprobs=tuple(
            map(_logprob, cast("Sequence[Sequence[object]]", plain.get("logprobs", ())))
        ),
        left_out=cast("int", plain.get("left_out", 0)),
        others=tuple(map(generation_from, cast("Sequence[Plain]", plain.get("others", ())))),
    )


def plain_request(request: Request) -> Plain:
    """Return a request as plain values."""
    prompt = request.prompt
    params = {field.name: getattr(request.params, field.name) for field in fields(SamplingParams)}
    return {
        "prompt": prompt if isinstance(prompt, str) else [list(message) for message in prompt],
        "params": {**params, "stop": list(request.params.stop)},
        "form": None if request.form is None else request.form.plain(),
        "source": request.source,
    }


def request_from(plain: Mapping[str, object]) -> Request:
    """Return the request that `plain_request` wrote down, its form compiled."""
    given = plain["prompt"]
    messages = given if isinstance(given, list) else []
    prompt: Prompt = given if isinstance(given, str) else tuple(Message(*m) for m in messages)
    request = Request(
        prompt=prompt,
        params=SamplingParams(**cast("dict[str, int]", plain["params"])),  # type: ignore[arg-type]  # as above
        source=cast("str | None", plain["source"]),
    )
    return formed(request, {"response_format": plain["form"]}) if plain["form"] else request


def plain_spec(spec: LoadSpec) -> Plain:
    """Return what to load as plain values."""
    return {
        "model": spec.model,
        "device": spec.device,
        "dtype": spec.dtype,
        "options": dict(spec.options),
    }


def spec_from(plain: Mapping[str, object]) -> LoadSpec:
    """Return what `plain_spec` wrote down."""
    return LoadSpec(
        model=cast("str | None", plain["model"]),
        device=cast("str", plain["device"]),
        dtype=cast("str", plain["dtype"]),
        options=cast("Mapping[str, object]", plain["options"]),
    )


def plain_info(info: ModelInfo) -> Plain:
    """Return what is known of a model as plain values."""
    return asdict(info)


def info_from(plain: Mapping[str, object]) -> ModelInfo:
    """Return what `plain_info` wrote down."""
    sampling = tuple(cast("Sequence[str]", plain.get("sampling", BASIC)))
    kernels = tuple(cast("Sequence[str]", plain.get("kernels", ())))
    given = cast("dict[str, str]", {**plain, "sampling": sampling, "kernels": kernels})
    return ModelInfo(**given)  # type: ignore[arg-type]  # as asdict wrote it


def _logprob(plain: Sequence[object]) -> TokenLogprob:
    token, logprob, top = cast("tuple[str, float, Sequence[Sequence[object]]]", tuple(plain))
    pairs = tuple((str(text), float(cast("float", number))) for text, number in top)
    return TokenLogprob(token=token, logprob=float(logprob), top=pairs)
