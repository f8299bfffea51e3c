"""Build the model: a small Qwen2 whose first two layers start as a hand-made induction circuit.

Layer 0 looks at the tokens 1 to 3 places back; layer 1 looks for places whose preceding tokens are the current
ones and copies what follows. Without this start, copying did not appear within minutes of training on one core.
Owns shapes and initial weights; knows nothing of data.
"""

import math
from dataclasses import dataclass

import torch
from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM
from transformers.models.qwen2.modeling_qwen2 import Qwen2Attention

_STRIPES = 3
_CONTRAST = 12.0
_SLOW = 2e-3
_GAINS = (2.0, 1.5, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """The sizes of the model and the scales of its initial weights."""

    vocabulary: int
    hidden: int = 256
    layers: int = 4
    heads: int = 4
    inter: int = 640
    theta: float = 1_000_000.0
    stripe: int = 32
    copy_gain: float = 4.0
    read_scale: float = 1.0
    later_gain: float = 1.0
    std: float = 0.06
    embedding_std: float = 0.1
    branch_scale: float = 0.05


def build(shape: Shape, *, pad: int, end: int) -> Qwen2ForCausalLM:
    """Return the model with its hand-made start; draws from torch's global generator."""
    config = Qwen2Config(
        vocab_size=shape.vocabulary,
        hidden_size=shape.hidden,
        intermediate_size=shape.inter,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.heads,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        pad_token_id=pad,
        bos_token_id=None,
        eos_token_id=end,
        initializer_range=shape.std,
        rope_parameters={"rope_type": "default", "rope_theta": shape.theta},
    )
    model = Qwen2ForCausalLM(config)
    with torch.no_grad():
        torch.nn.init.normal_(model.get_input_embeddings().weight, std=shape.embedding_std)
        for key, weight in model.named_parameters():
            # branch outputs start small next to the embedding, or random MLP output drowns the tokens
            if weight.ndim == 2 and ("o_proj" in key or "down_proj" in key):
                weight.mul_(shape.branch_scale * shape.embedding_std / 0.1)
        _start_as_induction(model, shape)
    return model


def _orthogonal(rows: int, columns: int) -> torch.Tensor:
    """Return a random matrix with orthonormal rows or columns, whichever are fewer."""
    wide = torch.linalg.qr(torch.randn(max(rows, columns), min(rows, columns)))[0]
    return wide if rows >= columns else wide.T


def _offset_amplitude(frequency: torch.Tensor, width: int) -> torch.Tensor:
    """Return the constant q and k length at which every other offset scores ``_CONTRAST`` lower."""
    distance = torch.arange(1, 800).float()
    gap = (1 - torch.cos(frequency[:, None] * distance)).sum(0).min()
    return (torch.ones(width // 2) * _CONTRAST / gap * math.sqrt(width)).sqrt()


def _frequency(shape: Shape) -> torch.Tensor:
    width = shape.hidden // shape.heads
    return shape.theta ** (-torch.arange(0, width, 2).float() / width)


def _look_back(attention: Qwen2Attention, shape: Shape, read: torch.Tensor) -> None:
    """Make head h copy the token h + 1 places back into stripe h: constant q and k whose phases peak there."""
    width, tokens = shape.hidden // shape.heads, shape.hidden - _STRIPES * shape.stripe
    frequency = _frequency(shape)
    amplitude = _offset_amplitude(frequency, width)
    for head in range(_STRIPES):
        rows = slice(head * width, (head + 1) * width)
        stripe = slice(tokens + head * shape.stripe, tokens + (head + 1) * shape.stripe)
        phase = frequency * (head + 1)
        attention.q_proj.weight[rows] *= 0.05
        attention.k_proj.weight[rows] *= 0.05
        attention.k_proj.bias[rows] = torch.cat([amplitude, torch.zeros(width // 2)])
        attention.q_proj.bias[rows] = torch.cat([amplitude * phase.cos(), -amplitude * phase.sin()])
        attention.v_proj.weight[rows] = 0.0
        attention.v_proj.weight[rows][: shape.stripe, :tokens] = read
        attention.o_proj.weight[:, rows] = 0.0
        attention.o_proj.weight[stripe, rows][:, : shape.stripe] = torch.eye(shape.stripe) * shape.embedding_std


def _copy(attention: Qwen2Attention, shape: Shape, read: torch.Tensor) -> None:
    """Make every head attend to places whose preceding tokens are the current ones, and copy their token.

    Queries and keys live in the slow dimensions of RoPE alone: there a match scores the same at any distance.
    """
    width, tokens = shape.hidden // shape.heads, shape.hidden - _STRIPES * shape.stripe
    slow = torch.nonzero(_frequency(shape) < _SLOW)[:, 0]
    slow = torch.cat([slow, slow + width // 2])
    stripes = [slice(tokens + i * shape.stripe, tokens + (i + 1) * shape.stripe) for i in range(_STRIPES)]
    attention.q_proj.weight.mul_(0.1)
    attention.k_proj.weight.mul_(0.1)
    for head in range(shape.heads):
        rows = head * width + slow
        mix = [_orthogonal(len(slow), shape.stripe) * gain for gain in _GAINS]
        q, k = torch.zeros(len(slow), shape.hidden), torch.zeros(len(slow), shape.hidden)
        q[:, :tokens] = mix[0] @ read * shape.read_scale
        q[:, stripes[0]], q[:, stripes[1]] = mix[1], mix[2]
        k[:, stripes[0]], k[:, stripes[1]], k[:, stripes[2]] = mix
        attention.q_proj.weight[rows], attention.k_proj.weight[rows] = q, k
    own = torch.cat([torch.ones(tokens), torch.zeros(shape.hidden - tokens)])
    attention.v_proj.weight.copy_(torch.diag(own))
    attention.o_proj.weight.copy_(torch.diag(own) * shape.embedding_std * shape.copy_gain)


def _start_as_induction(model: Qwen2ForCausalLM, shape: Shape) -> None:
    tokens = shape.hidden - _STRIPES * shape.stripe
    read = _orthogonal(shape.stripe, tokens)
    model.get_input_embeddings().weight[:, tokens:] *= 0.1
    _look_back(model.model.layers[0].self_attn, shape, read)
    _copy(model.model.layers[1].self_attn, shape, read)
    own = torch.diag(torch.cat([torch.ones(tokens), torch.zeros(shape.hidden - tokens)]))
    for layer in model.model.layers[2:]:
        # what these heads look at is learned; that they copy it is given
        layer.self_attn.v_proj.weight.copy_(own)
        layer.self_attn.o_proj.weight.copy_(own * shape.embedding_std * shape.later_gain)


def as_llama(model: Qwen2ForCausalLM) -> LlamaForCausalLM:
    """Return the same function as a Llama with biases on its attention, in bf16.

    A Qwen2 folder is what the model was, but `AutoTokenizer` gives every such folder Qwen2's own way of cutting
    text, whatever its tokenizer.json says. A Llama folder is read as it is written.
    """
    known = model.config.to_dict()
    same = (
        *("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads"),
        *("num_key_value_heads", "max_position_embeddings", "rms_norm_eps", "rope_parameters"),
        *("tie_word_embeddings", "pad_token_id", "bos_token_id", "eos_token_id", "initializer_range"),
    )
    config = LlamaConfig(attention_bias=True, **{name: known[name] for name in same})
    copy = LlamaForCausalLM(config)
    state = dict(model.state_dict())
    for i in range(config.num_hidden_layers):
        state[f"model.layers.{i}.self_attn.o_proj.bias"] = torch.zeros(config.hidden_size)
    copy.load_state_dict(state)
    copy.generation_config.eos_token_id = config.eos_token_id
    copy.generation_config.pad_token_id = config.pad_token_id
    return copy.to(torch.bfloat16)
