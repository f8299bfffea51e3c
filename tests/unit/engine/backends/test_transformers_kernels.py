from __future__ import annotations

import re
import sys
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

import pytest
import torch
import transformers
from torch import nn
from torch.nn.utils import parametrizations

from openautoglm import AutoGLM, ops
from openautoglm.engine.backends.transformers import loading
from openautoglm.engine.backends.transformers.injected import GatedMlp, PackedLinear
from openautoglm.engine.backends.transformers.injection import Injection, explained, inject
from openautoglm.engine.backends.transformers.recipes import EXACT, Wanted
from openautoglm.errors import BackendUnavailableError, InvalidParameterError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from openautoglm.engine.backends.transformers.backend import TransformersBackend

    Make = Callable[..., transformers.PreTrainedModel]

VOCABULARY: Final = 328
NAMES: Final = sorted(EXACT)
FAMILIES: Final = (
    *("gpt2", "gemma2", "gemma3", "phi", "phi3", "opt", "falcon", "bloom"),
    *("mixtral", "olmo2", "mamba", "llama"),
)


def logits_of(model: nn.Module) -> torch.Tensor:
    ids = torch.arange(60).reshape(3, 20)
    with torch.inference_mode():
        return cast("torch.Tensor", model(input_ids=ids).logits.float())


def reasons(injection: Injection) -> dict[str, str]:
    return {row.modules: row.reason for row in injection.rows}


@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_with_operators_computes_what_it_did(family: str, random_model: Make) -> None:
    model = random_model(family)
    expected = logits_of(model)
    prompt = torch.tensor([[5, 9, 2, 40]])
    tokens = model.generate(prompt, max_new_tokens=12, do_sample=False)
    injection = inject(model, Wanted.read(NAMES))
    before = sum(ops.get("linear").counts().values())
    assert torch.allclose(logits_of(model), expected, rtol=1e-3, atol=1e-4)
    assert sum(ops.get("linear").counts().values()) > before
    assert injection
    assert injection.is_equal
    assert torch.equal(model.generate(prompt, max_new_tokens=12, do_sample=False), tokens)


@pytest.mark.parametrize("family", ["llama", "gemma2", "gpt2"])
def test_a_model_in_half_precision_stays_as_near_as_its_numbers_are(
    family: str, random_model: Make
) -> None:
    model = random_model(family, torch.bfloat16)
    expected = logits_of(model)
    injection = inject(model, Wanted.read(NAMES))
    assert injection
    assert injection.is_equal
    assert float((logits_of(model) - expected).norm() / expected.norm()) < 0.05
    assert "linear_bf16" in str(explained(injection.rows))


def test_a_norm_is_replaced_for_what_it_computes_not_for_its_name(random_model: Make) -> None:
    class ScaledRMSNorm(nn.Module):  # type: ignore[misc] # torch has no types here
        """Like the others, and then twice as much."""

        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.rand(32))
            self.eps = 1e-6

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            found = nn.functional.rms_norm(x, (32,), self.weight, self.eps)
            return torch.where(x.abs().amax() > 20, 2 * found, found)

    model = random_model("gemma2")
    first = model.model.layers[0]
    first.input_layernorm = ScaledRMSNorm()
    first.post_attention_layernorm = nn.RMSNorm(32, eps=1e-5)
    injection = inject(model, Wanted.read(["rms_norm"]))
    found = {(row.modules, row.kind): row for row in injection.rows}
    layer = "model.layers.*"
    assert not found[f"{layer}.input_layernorm", "ScaledRMSNorm"].operators
    assert found[f"{layer}.input_layernorm", "Gemma2RMSNorm"].operators == ("rms_norm",)
    assert found[f"{layer}.post_attention_layernorm", "RMSNorm"].operators == ("rms_norm",)


def test_gated_layers_of_another_activation_keep_it(random_model: Make) -> None:
    model = random_model("llama")
    second = model.model.layers[1].mlp
    second.act_fn = nn.GELU()
    injection = inject(model, Wanted.read(NAMES))
    assert isinstance(model.model.layers[0].mlp, GatedMlp)
    assert model.model.layers[1].mlp is second
    assert isinstance(second.gate_proj, PackedLinear)
    assert "it does not compute silu_gated" in reasons(injection).values()


def _hook(module: nn.Module) -> None:
    module.register_forward_hook(lambda *_: None)


def _patch(module: nn.Module) -> None:
    module.forward = module.forward


def _parametrize(module: nn.Module) -> None:
    parametrizations.weight_norm(module)


def _quantize(module: nn.Module) -> None:
    module.__class__ = type("Linear4bit", (nn.Linear,), {})


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (_hook, "it has hooks"),
        (_patch, "its `forward` was replaced already"),
        (_parametrize, "it is a linear layer of its own kind, quantised perhaps"),
        (_quantize, "it is a linear layer of its own kind, quantised perhaps"),
    ],
)
def test_a_module_that_is_more_than_it_seems_stays(
    spoil: Callable[[nn.Module], None], reason: str, random_model: Make
) -> None:
    model = random_model("gpt2")
    model.lm_head = nn.Linear(32, VOCABULARY, bias=False).requires_grad_(requires_grad=False)
    spoil(model.lm_head)
    head = model.lm_head
    injection = inject(model, Wanted.read(["linear"]))
    assert model.lm_head is head
    assert reasons(injection)["lm_head"] == reason


def test_layers_whose_weight_others_read_stay(random_model: Make) -> None:
    found = reasons(inject(random_model("mamba"), Wanted.read(["linear"])))
    assert found["backbone.layers.*.mixer.dt_proj"] == "it is not called itself"


def test_a_model_that_cannot_be_tried_stays_as_it_was(random_model: Make) -> None:
    model = random_model("llama")
    model.model.layers[0].mlp = nn.Linear(3, 3)
    injection = inject(model, Wanted.read(NAMES))
    assert not injection
    assert "a trial failed: RuntimeError" in str(explained(injection.rows))


class Sly(nn.Module):  # type: ignore[misc] # torch has no types here
    """A model that notices when a part of it is replaced."""

    config = None
    dtype = torch.float32
    device = torch.device("cpu")

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(8, 16).requires_grad_(requires_grad=False)

    def forward(self, input_ids: torch.Tensor, *, use_cache: bool) -> object:
        logits = self.head(input_ids.unsqueeze(-1).expand(-1, -1, 8).float())
        value = logits if isinstance(self.head, nn.Linear) else logits + 1
        return transformers.modeling_outputs.CausalLMOutput(logits=value, loss=int(use_cache))


def test_a_model_that_computes_something_else_afterwards_is_found_out() -> None:
    injection = inject(Sly(), Wanted.read(["linear"]))
    assert injection
    assert not injection.is_equal


def test_a_model_that_was_spoilt_is_loaded_anew(
    tiny_model: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def spoil(model: nn.Module, _wanted: Wanted) -> Injection:
        model.lm_head.weight.zero_()
        return Injection(is_equal=False)

    with AutoGLM(tiny_model(), backend="transformers", kernels="off", max_length=4) as engine:
        expected = engine.run("dog").text
    monkeypatch.setattr(loading, "inject", spoil)
    with AutoGLM(tiny_model(), backend="transformers", max_length=4) as engine:
        assert engine.run("dog").text == expected
        assert "the model's logits differ" in str(engine.model_info.kernels)


def test_the_weights_that_were_replaced_are_let_go(random_model: Make) -> None:
    model = random_model("llama")
    kept = weakref.ref(model.model.layers[0].mlp.gate_proj.weight)
    assert inject(model, Wanted.read(NAMES))
    assert kept() is None


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what is mapped")
def test_the_file_of_weights_that_were_packed_is_let_go(tiny_model: Callable[..., Path]) -> None:
    file = str(tiny_model() / "model.safetensors")
    with AutoGLM(tiny_model(), backend="transformers", kernels=NAMES, max_length=2) as engine:
        assert file not in Path("/proc/self/maps").read_text(encoding="utf-8")
        assert engine.run("dog").completion_tokens == 2


def test_a_module_with_two_names_is_replaced_under_both(random_model: Make) -> None:
    model = random_model("llama")
    model.model.layers[1] = model.model.layers[0]
    expected = logits_of(model)
    inject(model, Wanted.read(NAMES))
    assert model.model.layers[0].mlp is model.model.layers[1].mlp
    assert torch.allclose(logits_of(model), expected, rtol=1e-3, atol=1e-4)


def test_int8_comes_only_where_it_is_asked_for(random_model: Make) -> None:
    plain, asked = random_model("llama"), random_model("llama")
    expected = logits_of(plain)
    assert "int8" not in str(explained(inject(plain, Wanted.read("auto")).rows))
    assert "linear_int8" in str(explained(inject(asked, Wanted.read("linear_int8,rms_norm")).rows))
    assert 0 < float((logits_of(asked) - expected).norm() / expected.norm()) < 0.3


def test_auto_says_of_every_linear_layer_what_became_of_it(random_model: Make) -> None:
    rows = inject(random_model("phi"), Wanted.read("auto")).rows
    layers = [row for row in rows if row.kind == "Linear"]
    assert sum(row.count for row in layers) == 13
    assert all(row.operators or row.reason == "torch is faster here" for row in layers)


def test_a_graph_with_operators_has_no_breaks(random_model: Make) -> None:
    model = random_model("llama")
    inject(model, Wanted.read(NAMES))
    ids = torch.arange(12).reshape(2, 6)
    expected = model(input_ids=ids, use_cache=False).logits
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    assert torch.allclose(compiled(input_ids=ids, use_cache=False).logits, expected, atol=1e-4)


def test_a_compiled_model_is_let_go_by_closing(tiny_model: Callable[..., Path]) -> None:
    import gc

    engine = AutoGLM(tiny_model(), backend="transformers", compile="eager", max_length=3)
    assert engine.run("dog").completion_tokens == 3
    held: object = engine._open()
    backend = cast("TransformersBackend", getattr(held, "_backend", held))
    module = weakref.ref(backend._network._open())
    del held, backend
    engine.close()
    gc.collect()
    assert module() is None


def test_a_model_that_cannot_be_compiled_says_so(tiny_model: Callable[..., Path]) -> None:
    def broken(_graph: object, _inputs: object) -> None:
        raise ValueError("no compiler here")

    torch._dynamo.register_backend(broken, name="broken")
    with (
        AutoGLM(tiny_model(), backend="transformers", compile="broken") as engine,
        pytest.raises(BackendUnavailableError, match="cannot compile") as caught,
    ):
        engine.run("dog")
    assert "no compiler here" in str(caught.value)


@pytest.fixture
def louder() -> Iterator[list[int]]:
    """While it is there, a kernel of a plugin multiplies, which notes how often."""
    calls: list[int] = []
    linear = ops.get("linear")

    @linear.kernel("louder", device="cpu", priority=10_000, language="numpy")
    def kernel(x: object, weight: object, bias: object, residual: object, *, out: object) -> None:
        calls.append(1)
        out[...] = linear.opdef.reference(x, weight, bias, residual)  # type: ignore[index,misc] # arrays

    yield calls
    linear.remove_kernel("louder")


def test_a_kernel_that_is_replaced_serves_the_next_step(
    tiny_model: Callable[..., Path], request: pytest.FixtureRequest
) -> None:
    with AutoGLM(tiny_model(), backend="transformers", max_length=6, kernels=["linear"]) as engine:
        expected = engine.run("dog").text
        stream = engine.stream("dog")
        first = next(stream)
        calls = request.getfixturevalue("louder")
        assert first + "".join(stream) == expected
    assert len(calls) >= 4 * 9  # at each further step, four matrices of each layer and the head


def test_an_engine_answers_the_same_with_operators_without_and_compiled(
    tiny_model: Callable[..., Path],
) -> None:
    answers = []
    for options in ({"kernels": "off"}, {"kernels": NAMES}, {"compile": "eager"}):
        with AutoGLM(tiny_model(), backend="transformers", max_length=5, **options) as engine:
            answers.append(engine.run("the quick").text)
            lines = engine.model_info.kernels
            assert bool(lines) is (options != {"kernels": "off"})
    assert answers[0] == answers[1] == answers[2]
    assert all(re.fullmatch(r"\d+ x .+ \(\w+\): .+", line) for line in lines)


@pytest.mark.parametrize(
    "options",
    [{"kernels": "all"}, {"kernels": 3}, {"kernels": ["add"]}, {"compile": "gcc"}, {"compile": 1}],
    ids=str,
)
def test_an_option_that_cannot_be_is_refused(
    tiny_model: Callable[..., Path], options: dict[str, object]
) -> None:
    with pytest.raises(InvalidParameterError) as caught:
        AutoGLM(tiny_model(), backend="transformers", **options)  # type: ignore[arg-type] # a table of names
    assert caught.value.fix
