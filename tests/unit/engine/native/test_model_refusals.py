"""What a folder must be for the native backend, and what is said of one that is not."""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from openautoglm.engine.backends.native.model.model import Model, read_architecture
from openautoglm.engine.backends.native.weights import convert
from openautoglm.errors import (
    EngineClosedError,
    InvalidParameterError,
    ModelFolderError,
    ModelTooLargeError,
    UnknownArchitectureError,
    WeightsCorruptError,
)

if TYPE_CHECKING:
    from pathlib import Path

    Arrays = dict[str, np.ndarray[Any, np.dtype[Any]]]

CONFIG = {
    "model_type": "llama",
    "vocab_size": 40,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 64,
}


def weights(**changes: object) -> Arrays:
    rng = np.random.default_rng(0)
    at = "model.layers.0."
    shapes = {
        "model.embed_tokens": (40, 32),
        f"{at}self_attn.q_proj": (32, 32),
        f"{at}self_attn.k_proj": (16, 32),
        f"{at}self_attn.v_proj": (16, 32),
        f"{at}self_attn.o_proj": (32, 32),
        f"{at}mlp.gate_proj": (48, 32),
        f"{at}mlp.up_proj": (48, 32),
        f"{at}mlp.down_proj": (32, 48),
        f"{at}input_layernorm": (32,),
        f"{at}post_attention_layernorm": (32,),
        "model.norm": (32,),
        "lm_head": (40, 32),
    }
    made: dict[str, Any] = {
        f"{name}.weight": rng.standard_normal(shape).astype(np.float32)
        for name, shape in shapes.items()
    }
    made.update(changes)
    return {name: array for name, array in made.items() if array is not None}


def folder(root: Path, arrays: Arrays | None = None, /, **config: Any) -> Path:  # noqa: ANN401 - any value of a config.json
    arrays = weights() if arrays is None else arrays
    values = {**CONFIG, **config}
    (root / "config.json").write_text(json.dumps(values))
    header, start = {}, 0
    for name, array in arrays.items():
        dtype = {"f4": "F32", "i8": "I64"}[array.dtype.str[1:]]
        offsets = [start, start + array.nbytes]
        header[name] = {"dtype": dtype, "shape": array.shape, "data_offsets": offsets}
        start += array.nbytes
    raw = json.dumps(header).encode()
    raw += b" " * (-len(raw) % 8)
    data = b"".join(np.ascontiguousarray(array).tobytes() for array in arrays.values())
    (root / "model.safetensors").write_bytes(struct.pack("<Q", len(raw)) + raw + data)
    return root


def model(root: Path, **sizes: int) -> Model:
    return Model(root, "fp32", **{"slots": 2, "rows": 8, **sizes})


def logits(made: Model) -> np.ndarray[Any, np.dtype[np.float32]]:
    rows = np.arange(5)
    return made.forward(rows + 3, np.zeros(5, np.int64), rows, rows).copy()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"hidden_size": 40}, "hidden_size = 40"),
        ({"intermediate_size": 50}, "intermediate_size = 50"),
        ({"head_dim": 20}, "num_attention_heads x head_dim = 40"),
        ({"head_dim": 8, "num_attention_heads": 3, "num_key_value_heads": 1}, "head_dim = 24"),
        ({"num_attention_heads": 3, "head_dim": 16, "num_key_value_heads": 2}, "3 heads, 2 key"),
        ({"hidden_act": "gelu"}, "'gelu'"),
        ({"quantization_config": {"bits": 4}}, "quantization_config"),
        ({"model_type": "mamba"}, "known: glm, glm4, llama, mistral"),
        ({"rope_scaling": {"rope_type": "longrope", "factor": 2.0}}, "known: default, linear"),
        ({"rope_parameters": {"full_attention": {"rope_type": "default"}}}, "known: default"),
        ({"rope_parameters": {"partial_rotary_factor": 0.5}}, "partial_rotary_factor 0.5"),
    ],
)
def test_what_no_operator_is_for_is_refused_with_its_number_and_another_backend(
    tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(UnknownArchitectureError) as caught:
        model(folder(tmp_path, **changes))
    assert said in str(caught.value)
    assert 'backend="transformers"' in str(caught.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"hidden_size": None},
        {"hidden_size": "32"},
        {"num_hidden_layers": 0},
        {"num_attention_heads": True},
        {"rms_norm_eps": "small"},
        {"rms_norm_eps": float("nan")},
        {"tie_word_embeddings": 1},
        {"attention_bias": "no"},
        {"rope_theta": -1},
        {"rope_parameters": [1]},
        {"rope_scaling": {"type": "linear"}},
        {"rope_scaling": {"type": "linear", "factor": 0}},
        {"rope_scaling": {"rope_type": "llama3", "factor": 8.0}},
        {"rope_scaling": {"rope_type": "yarn", "factor": "4"}},
        {"model_type": "qwen2", "use_sliding_window": True, "sliding_window": -4},
        {
            "model_type": "qwen2",
            "use_sliding_window": True,
            "sliding_window": 4,
            "layer_types": ["chunked_attention"],
        },
        {
            "model_type": "qwen2",
            "use_sliding_window": True,
            "sliding_window": 4,
            "layer_types": [{"a": 1}],
        },
    ],
    ids=str,
)
def test_a_wrong_value_of_the_config_is_named(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(ModelFolderError) as caught:
        read_architecture(folder(tmp_path, **changes))
    last = list(changes)[-1]
    inner = changes[last]
    names = [last, *(inner if isinstance(inner, dict) else ()), "factor", "low_freq_factor"]
    assert any(f"`{name}`" in str(caught.value) for name in names)


@pytest.mark.parametrize(
    "name", ["lm_head.weight", "model.layers.0.mlp.up_proj.weight", "model.norm.weight"]
)
def test_missing_weights_are_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(ModelFolderError, match="lack some") as caught:
        model(folder(tmp_path, weights(**{name: None})))
    assert name in str(caught.value)


def test_weights_that_nothing_uses_are_named(tmp_path: Path) -> None:
    extra = {"model.layers.1.self_attn.q_proj.weight": np.zeros((32, 32), np.float32)}
    with pytest.raises(ModelFolderError, match="more than") as caught:
        model(folder(tmp_path, weights(**extra)))
    assert "model.layers.1.self_attn.q_proj.weight" in str(caught.value)


def test_frequencies_that_old_folders_store_are_left_alone(tmp_path: Path) -> None:
    name = "model.layers.0.self_attn.rotary_emb.inv_freq"
    made = model(folder(tmp_path, weights(**{name: np.zeros(8, np.float32)})))
    assert np.isfinite(logits(made)).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(
    "name",
    [
        "model.layers.0.self_attn.k_proj.weight",
        "model.embed_tokens.weight",
        "lm_head.weight",
        "model.norm.weight",
    ],
)
def test_values_that_are_not_finite_are_refused(tmp_path: Path, name: str, bad: float) -> None:
    arrays = weights()
    arrays[name].reshape(-1)[-1] = bad
    with pytest.raises(WeightsCorruptError, match="not finite") as caught:
        model(folder(tmp_path, arrays))
    assert name in str(caught.value)


def test_values_whose_sum_overflows_are_fine(tmp_path: Path) -> None:
    arrays = weights()
    arrays["lm_head.weight"][:] = np.finfo(np.float32).max / 2
    model(folder(tmp_path, arrays)).close()


def test_shapes_that_disagree_with_the_config_are_refused(tmp_path: Path) -> None:
    name = "model.layers.0.mlp.down_proj.weight"
    with pytest.raises(ModelFolderError, match="shape") as caught:
        model(folder(tmp_path, weights(**{name: np.zeros((48, 32), np.float32)})))
    assert "[48, 32]" in str(caught.value)
    assert "[32, 48]" in str(caught.value)


def test_a_vocabulary_that_disagrees_is_refused_with_both_numbers(tmp_path: Path) -> None:
    with pytest.raises(ModelFolderError, match="vocabulary") as caught:
        model(folder(tmp_path, vocab_size=48))
    assert "40" in str(caught.value)
    assert "48" in str(caught.value)


def test_weights_that_are_no_floats_are_refused(tmp_path: Path) -> None:
    arrays = weights(**{"model.norm.weight": np.ones(32, np.int64)})
    with pytest.raises(ModelFolderError, match="dtype"):
        model(folder(tmp_path, arrays))


def test_a_model_larger_than_the_memory_is_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(convert, "free_bytes", lambda: 10_000)
    with pytest.raises(ModelTooLargeError, match="fp32"):
        model(folder(tmp_path))


def test_a_context_longer_than_the_models_is_refused_with_both_numbers(tmp_path: Path) -> None:
    with pytest.raises(InvalidParameterError) as caught:
        model(folder(tmp_path), context=65)
    assert "65" in str(caught.value)
    assert "64" in str(caught.value)


@pytest.mark.parametrize("name", ["slots", "rows", "threads"])
@pytest.mark.parametrize("value", [0, -1, 1.5, True])
def test_sizes_are_whole_numbers(tmp_path: Path, name: str, value: Any) -> None:  # noqa: ANN401 - whatever a caller passes
    with pytest.raises(InvalidParameterError, match=name):
        model(folder(tmp_path), **{name: value})


def test_an_unknown_mode_is_refused(tmp_path: Path) -> None:
    mode: Any = "int3"
    with pytest.raises(InvalidParameterError, match="mode"):
        Model(folder(tmp_path), mode)


def test_calls_of_wrong_lengths_are_refused(tmp_path: Path) -> None:
    made, rows = model(folder(tmp_path)), np.arange(9)
    with pytest.raises(InvalidParameterError, match="8 rows"):
        made.forward(rows, rows, rows, rows[:1])
    with pytest.raises(InvalidParameterError, match="each token"):
        made.forward(rows[:3], rows[:2], rows[:3], rows[:1])
    with pytest.raises(InvalidParameterError, match="slot"):
        made.release(2)
    with pytest.raises(InvalidParameterError, match="slot"):
        made.copy_prefix(0, -1, 3)
    with pytest.raises(InvalidParameterError, match="prefix"):
        made.copy_prefix(0, 1, 65)


def test_a_closed_model_says_so(tmp_path: Path) -> None:
    made = model(folder(tmp_path))
    made.close()
    made.close()
    with pytest.raises(EngineClosedError):
        logits(made)


def test_a_head_that_is_stored_though_tied_serves_where_it_differs(tmp_path: Path) -> None:
    arrays = weights()
    own = logits(model(folder(tmp_path, arrays, tie_word_embeddings=True)))
    assert np.array_equal(own, logits(model(folder(tmp_path, arrays))))
    arrays["lm_head.weight"] = arrays["model.embed_tokens.weight"]
    same = logits(model(folder(tmp_path, arrays, tie_word_embeddings=True)))
    del arrays["lm_head.weight"]
    assert np.array_equal(same, logits(model(folder(tmp_path, arrays, tie_word_embeddings=True))))
    assert not np.array_equal(same, own)
