"""vLLM as its callers see it, for tests where there is no GPU: the names and signatures of 0.17.1.

Owns `modules`, which `sys.modules` takes in place of vLLM. Whatever is called is checked as vLLM
checks it, and what is not there raises; tokens come from the native engine's own decoder.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from enum import Enum
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final, Self, final

from openautoglm.engine import sampling as ours
from openautoglm.engine.backends.native.model.model import Model
from openautoglm.engine.backends.native.scheduling.constraint import GrammarConstraint
from openautoglm.engine.backends.native.scheduling.sampler import OperatorSampler, ScoredToken
from openautoglm.engine.backends.native.scheduling.scheduler import Rules, Scheduler
from openautoglm.engine.backends.native.scheduling.sequence import Sequence
from openautoglm.engine.backends.native.text.tokens import Tokens
from openautoglm.engine.model_folder import inspect
from openautoglm.engine.structured.constraint import TokenConstraint

if TYPE_CHECKING:
    from collections.abc import Mapping

VERSION: Final = "0.17.1"
TOKENS: Final = "prompt_token_ids"
BOTH: Final = ("temperature", "top_p", "top_k", "min_p", "min_tokens", "logprobs")
PENALTIES: Final = ("repetition_penalty", "presence_penalty", "frequency_penalty")


class RequestOutputKind(Enum):
    """What a step returns of a request."""

    CUMULATIVE = 0
    DELTA = 1
    FINAL_ONLY = 2


@dataclass(kw_only=True)
class StructuredOutputsParams:
    """What an answer must follow: one of these."""

    json: str | dict[str, Any] | None = None
    regex: str | None = None
    choice: list[str] | None = None
    grammar: str | None = None
    json_object: bool | None = None
    disable_any_whitespace: bool = False
    whitespace_pattern: str | None = None
    structural_tag: str | None = None

    def __post_init__(self) -> None:
        given = (self.json, self.regex, self.choice, self.grammar, self.json_object)
        if sum(value is not None for value in given) != 1:
            raise ValueError("You must use one kind of structured outputs constraint")


@dataclass(kw_only=True)
class SamplingParams:
    """How to generate; defaults are vLLM's."""

    n: int = 1
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repetition_penalty: float = 1.0
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    seed: int | None = None
    stop: str | list[str] | None = None
    stop_token_ids: list[int] | None = None
    ignore_eos: bool = False
    max_tokens: int | None = 16
    min_tokens: int = 0
    logprobs: int | None = None
    detokenize: bool = True
    skip_special_tokens: bool = True
    output_kind: RequestOutputKind = RequestOutputKind.CUMULATIVE
    structured_outputs: StructuredOutputsParams | None = None
    logit_bias: dict[int, float] | None = None

    def __post_init__(self) -> None:
        if self.stop and not self.detokenize:
            raise ValueError("stop strings are only supported when detokenize is True")
        if self.max_tokens is not None and not 1 <= self.max_tokens >= self.min_tokens:
            raise ValueError("max_tokens must be at least 1 and at least min_tokens")
        if not 0.0 < self.top_p <= 1.0 or self.top_k < 0 or self.temperature < 0:
            raise ValueError("top_p must be in (0, 1], top_k and temperature at least 0")


@dataclass
class Logprob:
    """How likely a token was; ranks begin at 1."""

    logprob: float
    rank: int | None = None
    decoded_token: str | None = None


@dataclass
class CompletionOutput:
    """What is new of one answer."""

    index: int
    text: str
    token_ids: list[int]
    cumulative_logprob: float | None
    logprobs: list[dict[int, Logprob]] | None
    finish_reason: str | None = None
    stop_reason: int | str | None = None


@dataclass
class RequestOutput:
    """What is new of one request."""

    request_id: str
    prompt: str | None
    prompt_token_ids: list[int] | None
    prompt_logprobs: None
    outputs: list[CompletionOutput]
    finished: bool


@dataclass(frozen=True)
class LoRARequest:
    """Whose weights are added."""

    lora_name: str
    lora_int_id: int
    lora_path: str = ""


@dataclass(kw_only=True)
class StructuredOutputsConfig:
    """What follows grammars."""

    backend: str = "auto"
    disable_any_whitespace: bool = False
    disable_additional_properties: bool = False


@dataclass(kw_only=True)
class EngineArgs:
    """What to load, and how."""

    model: str
    tokenizer: str | None = None
    trust_remote_code: bool = False
    dtype: str = "auto"
    seed: int = 0
    max_model_len: int | None = None
    gpu_memory_utilization: float = 0.9
    max_num_seqs: int | None = None
    enable_prefix_caching: bool | None = None
    disable_log_stats: bool = False
    generation_config: str = "auto"
    enable_lora: bool = False
    max_lora_rank: int = 16
    structured_outputs_config: StructuredOutputsConfig = field(
        default_factory=StructuredOutputsConfig
    )


@final
class ModelConfig:
    """What vLLM says of a model."""

    def __init__(self, model: Model) -> None:
        self.max_model_len = model.context
        self.dtype = "torch.float32"
        self._vocabulary = model.vocabulary

    def get_vocab_size(self) -> int:
        """Return the width of the logits."""
        return self._vocabulary


@final
class EngineCore:
    """What holds the weights."""

    def __init__(self, model: Model) -> None:
        self.model = model

    def shutdown(self) -> None:
        """Give them back."""
        self.model.close()


@final
class LLMEngine:
    """Decodes requests step by step. Made by `from_engine_args`."""

    def __init__(self, arguments: EngineArgs) -> None:
        if arguments.trust_remote_code or arguments.generation_config != "vllm":
            raise ValueError("this fake runs no code of a folder, and takes none of its defaults")
        if arguments.structured_outputs_config.backend != "guidance":
            raise ValueError("this fake follows grammars of llguidance alone")
        slots = arguments.max_num_seqs or 256
        folder = inspect(Path(arguments.model))
        model = Model(folder.path, "fp32", slots=slots, context=arguments.max_model_len or 0)
        self.model_config = ModelConfig(model)
        self.engine_core = EngineCore(model)
        self.aborted: list[str] = []
        self.adapters: list[LoRARequest | None] = []  # of each request; this fake adds no weights
        self._has_lora = arguments.enable_lora
        self._tokens = Tokens(folder)
        self._scheduler = Scheduler(model, OperatorSampler(), rules=Rules(guesses=False))
        self._requests: dict[int, SamplingParams] = {}

    @classmethod
    def from_engine_args(
        cls,
        engine_args: EngineArgs,
        usage_context: object = None,
        stat_loggers: object = None,
        enable_multiprocessing: bool = False,  # noqa: FBT001, FBT002 - vLLM's signature
    ) -> Self:
        """Load."""
        if usage_context is not None or stat_loggers is not None or enable_multiprocessing:
            raise NotImplementedError
        return cls(engine_args)

    def add_request(  # noqa: PLR0913, PLR0917 - vLLM's signature
        self,
        request_id: object,
        prompt: Mapping[str, Any],
        params: SamplingParams,
        arrival_time: float | None = None,
        lora_request: LoRARequest | None = None,
        tokenization_kwargs: Mapping[str, Any] | None = None,
        trace_headers: Mapping[str, str] | None = None,
        priority: int = 0,
        prompt_text: str | None = None,
    ) -> None:
        """Take a request, of token ids alone."""
        rest = (arrival_time, tokenization_kwargs, trace_headers, prompt_text)
        if any(value is not None for value in rest) or priority or set(prompt) != {TOKENS}:
            raise NotImplementedError
        number = int(request_id) if isinstance(request_id, str) else -1
        if number < 0 or number in self._requests:
            raise ValueError(f"request id {request_id!r} is no text, or under way")
        if len(prompt[TOKENS]) >= self.model_config.max_model_len:
            raise ValueError("The decoder prompt is longer than the maximum model length")
        if lora_request is not None and not self._has_lora:
            raise ValueError(f"Got lora_request {lora_request} but LoRA is not enabled!")
        self.adapters.append(lora_request)
        self._requests[number] = params
        self._scheduler.add(self._sequence(number, prompt[TOKENS], params))

    def abort_request(
        self,
        request_ids: object,
        internal: bool = False,  # noqa: FBT001, FBT002 - vLLM's signature
    ) -> None:
        """End requests; nothing more comes of them."""
        if not isinstance(request_ids, list) or internal:
            raise TypeError("request ids come in a list, as they were given")
        for name in request_ids:
            self.aborted.append(name)
            self._requests.pop(int(name), None)
            self._scheduler.cancel(int(name))

    def has_unfinished_requests(self) -> bool:
        """Whether a step would do something."""
        return bool(self._requests)

    def step(self) -> list[RequestOutput]:
        """Compute once and return what is new."""
        outputs = []
        for event in self._scheduler.step():
            params = self._requests.get(event.sequence)
            if params is None:
                continue
            tokens, reason = list(event.tokens), event.finish_reason
            scores: list[dict[int, Logprob]] | None = [_scores(one) for one in event.logprobs]
            if reason == "stop":  # the token that ended it is told as well
                tokens.append(min(params.stop_token_ids or [0]))
                scores = scores or [_scores(None)] * (len(tokens) - 1)
                scores.append({tokens[-1]: Logprob(0.0, 1)})
            if params.logprobs is None:
                scores = None
            new = CompletionOutput(0, "", tokens, None, scores, finish_reason=reason)
            is_last = reason is not None
            if is_last:
                del self._requests[event.sequence]
            outputs.append(
                RequestOutput(str(event.sequence), None, None, None, [new], finished=is_last)
            )
        return outputs

    def _sequence(self, number: int, prompt: list[int], params: SamplingParams) -> Sequence:
        if params.n != 1 or params.detokenize or params.output_kind != RequestOutputKind.DELTA:
            raise NotImplementedError
        constraint = None
        if params.structured_outputs is not None:
            from llguidance import grammar_from

            text = grammar_from("grammar", params.structured_outputs.grammar or "")
            view = self._tokens.view(self.model_config.get_vocab_size())
            constraint = GrammarConstraint(TokenConstraint(view, text))
        seed = secrets.randbits(32) if params.seed is None else params.seed
        known = {name: getattr(params, name) for name in (*BOTH, *PENALTIES)}
        most = params.max_tokens or 1
        return Sequence(
            id=number,
            prompt=tuple(prompt),
            max_tokens=most,
            min_tokens=params.min_tokens,
            params=ours.SamplingParams(
                max_length=most, logit_bias=params.logit_bias or {}, **known
            ),
            seed=seed if params.temperature else None,
            eos=frozenset(params.stop_token_ids or ()),
            constraint=constraint,
        )


def modules() -> dict[str, ModuleType]:
    """Return what `import vllm` and its submodules shall find, by name."""
    names = ("vllm", "vllm.sampling_params", "vllm.config", "vllm.lora.request")
    home, kinds, config, lora = made = [ModuleType(name) for name in names]
    for module in made:
        module.__spec__ = ModuleSpec(module.__name__, None)
    for name in (EngineArgs, LLMEngine, SamplingParams, RequestOutput, CompletionOutput):
        setattr(home, name.__name__, name)
    for kind in (SamplingParams, StructuredOutputsParams, RequestOutputKind):
        setattr(kinds, kind.__name__, kind)
    home.__version__ = VERSION  # type: ignore[attr-defined] # a module made here
    config.StructuredOutputsConfig = StructuredOutputsConfig  # type: ignore[attr-defined] # as above
    lora.LoRARequest = LoRARequest  # type: ignore[attr-defined] # as above
    return dict(zip(names, made, strict=True))


def _scores(scored: object) -> dict[int, Logprob]:
    """Return the likelihoods of one place: the likeliest, and the chosen one."""
    if not isinstance(scored, ScoredToken):  # it was forced
        return {}
    found = {token: Logprob(value, rank) for rank, (token, value) in enumerate(scored.top, 1)}
    return {scored.token: Logprob(scored.logprob, len(found) + 1), **found}
