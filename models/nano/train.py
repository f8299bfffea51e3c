"""Train nano: generator, tokenizer, training, in one command; a run can be stopped and continued.

    python models/nano/train.py --run runs/nano --minutes 100

Owns the optimiser, the schedule and the checkpoints. The schedule follows the clock, so a run on another
machine sees another number of steps.
"""

import argparse
import json
import math
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.nn import functional
from transformers import AutoTokenizer, PreTrainedTokenizerFast, Qwen2ForCausalLM

import tokenizer as tokenizers
from architecture import Shape, as_llama, build
from banks import LANGS, load
from batches import DECISION, NO_TAG, OUTSIDE, TAGS, Batch, batches
from instructions import TASKS, canonical
from template import FIELDS

_CHECKPOINT = "checkpoint.pt"
_TAGGED = (-2,)  # before the last layer, which can then look facts up by their tag


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How to train."""

    run: Path
    minutes: float
    rate: float = 4e-4
    floor: float = 0.02
    tokens: int = 2048
    seed: int = 0
    warmup_steps: int = 60
    save_every_s: float = 240.0
    flat: float = 0.3
    dropout: float = 0.1


@dataclass(slots=True, kw_only=True)
class Progress:
    """How far a run is; the one mutable state besides weights and optimiser."""

    step: int = 0
    seen: int = 0
    elapsed_s: float = 0.0


def rate_scale(plan: Plan, progress: Progress) -> float:
    """Return the share of the peak rate: warm up by steps, stay flat, then fall by a cosine to the floor."""
    done = min(1.0, progress.elapsed_s / (plan.minutes * 60))
    fall = max(0.0, (done - plan.flat) / (1 - plan.flat))
    cosine = plan.floor + (1 - plan.floor) * 0.5 * (1 + math.cos(math.pi * fall))
    return min(1.0, (progress.step + 1) / plan.warmup_steps) * cosine


def is_causal(model: Qwen2ForCausalLM) -> bool:
    """Return whether the training path hides later tokens: a run without a mask copies answers, with a fine loss."""
    ids = torch.arange(1, 33)[None].repeat(2, 1)
    ids[1, 16:] = 1
    model.eval()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        hidden = model.model(input_ids=ids, use_cache=False).last_hidden_state
    model.train()
    return bool(torch.equal(hidden[0, :16], hidden[1, :16]))


def add_dropout(model: Qwen2ForCausalLM, share: float) -> None:
    """Drop a share of what every branch adds while training: it gained 2 points of field F1 on unseen texts."""

    def drop(module: torch.nn.Module, _: object, out: torch.Tensor) -> torch.Tensor:
        return functional.dropout(out, share, training=module.training)

    for layer in model.model.layers:
        for branch in (layer.self_attn.o_proj, layer.mlp.down_proj):
            branch.register_forward_hook(drop)


def _kept(weights: torch.Tensor) -> torch.Tensor:
    """Return the places that have a target, and further ones up to a multiple of 128 (few shapes, see `batches`)."""
    keep = weights > 0
    spare = torch.nonzero(~keep.flatten())[: -int(keep.sum()) % 128, 0]
    keep.view(-1)[spare] = True
    return keep


def make_tagger(model: Qwen2ForCausalLM) -> torch.nn.Linear:
    """Return the head that tags every token of the text while training: dense teaching, not part of the model."""
    return torch.nn.Linear(model.config.hidden_size, len(TAGS))


def _tag_loss(tagger: torch.nn.Linear, hidden: torch.Tensor, tags: torch.Tensor) -> torch.Tensor:
    normal = functional.rms_norm(hidden, hidden.shape[-1:])
    balance = torch.ones(len(TAGS))
    balance[OUTSIDE] = 0.3
    balance[-len(FIELDS) :] = 2.0
    return functional.cross_entropy(tagger(normal).float().flatten(0, 1), tags.flatten(), balance, ignore_index=NO_TAG)


def loss_of(model: Qwen2ForCausalLM, tagger: torch.nn.Linear, batch: Batch) -> tuple[torch.Tensor, float]:
    """Return the weighted loss of a batch and the share of decisions (not copied tokens) that are right."""
    keep = _kept(batch.weights)
    with torch.autocast("cpu", torch.bfloat16):
        out = model.model(input_ids=batch.inputs, use_cache=False, output_hidden_states=True)
        logits = model.lm_head(out.last_hidden_state[keep])
        tag_loss = sum((_tag_loss(tagger, out.hidden_states[i], batch.tags) for i in _TAGGED), torch.zeros(()))
    targets, weights = batch.targets[keep], batch.weights[keep]
    losses = functional.cross_entropy(logits.float(), targets, reduction="none")
    decisions = weights >= DECISION
    right = ((logits.argmax(-1) == targets) & decisions).sum() / decisions.sum()
    return (losses * weights).sum() / weights.sum() + tag_loss, right.item()


def make_optimizers(model: Qwen2ForCausalLM, tagger: torch.nn.Linear, plan: Plan) -> list[torch.optim.Optimizer]:
    """Return AdamW that decays matrices alone, and one for the tagger; ``peak`` is a group's own rate."""
    matrices = [p for p in model.parameters() if p.ndim > 1]
    vectors = [p for p in model.parameters() if p.ndim == 1]
    groups = [{"params": matrices, "weight_decay": 0.02}, {"params": vectors, "weight_decay": 0.0}]
    optimizers: list[torch.optim.Optimizer] = [
        torch.optim.AdamW(groups, lr=plan.rate, betas=(0.9, 0.98), fused=True),
        torch.optim.AdamW(tagger.parameters(), lr=1e-3),
    ]
    for group in (group for optimizer in optimizers for group in optimizer.param_groups):
        group["peak"] = group["lr"]
    return optimizers


def update(model: Qwen2ForCausalLM, optimizers: list[torch.optim.Optimizer], scale: float) -> None:
    """Take one step at ``scale`` times the peak rates."""
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["peak"] * scale
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)


def export(model: Qwen2ForCausalLM, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write the model in bf16 and its tokenizer as a Hugging Face folder."""
    as_llama(model).save_pretrained(folder)
    tokenizer.save_pretrained(folder, save_jinja_files=False)


def _save(path: Path, model: Qwen2ForCausalLM, optimizers: list[torch.optim.Optimizer], progress: Progress) -> None:
    state = {
        "model": model.state_dict(),
        "optimizers": [optimizer.state_dict() for optimizer in optimizers],
        "progress": (progress.step, progress.seen, progress.elapsed_s),
    }
    part = path.with_suffix(".part")
    torch.save(state, part)
    part.replace(path)


def start(plan: Plan, shape: dict[str, int]) -> tuple[Qwen2ForCausalLM, PreTrainedTokenizerFast]:
    """Return the model and the tokenizer of a run, made on its first start."""
    folder = plan.run / "tokenizer"
    if not (folder / "tokenizer.json").exists():
        tokenizers.build().save_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    torch.manual_seed(plan.seed)
    ids = tokenizer.get_vocab()
    model = build(Shape(vocabulary=len(tokenizer), **shape), pad=ids["<|pad|>"], end=ids["<|end|>"])
    # measured on one core in bf16: eager attention 1.45 times as fast as sdpa at these lengths
    model.config._attn_implementation = "eager"
    return model, tokenizer


def train(plan: Plan, shape: dict[str, int]) -> None:
    """Run until the minutes of the plan are spent, counting those of earlier starts."""
    model, tokenizer = start(plan, shape)
    add_dropout(model, plan.dropout)
    tagger = make_tagger(model)
    optimizers, progress = make_optimizers(model, tagger, plan), Progress()
    path = plan.run / _CHECKPOINT
    if path.exists():
        state = torch.load(path)
        model.load_state_dict(state["model"])
        for optimizer, saved in zip(optimizers, state["optimizers"], strict=False):
            peaks = [group["peak"] for group in optimizer.param_groups]
            optimizer.load_state_dict(saved)
            for group, peak in zip(optimizer.param_groups, peaks, strict=True):
                group["peak"] = peak  # the rates of this start, not of the last one
        progress = Progress(**dict(zip(("step", "seen", "elapsed_s"), state["progress"], strict=True)))
    assert is_causal(model)
    data = batches(tokenizer, seed=plan.seed + 7919 * (progress.step + 1), tokens=plan.tokens)
    last_time, saved_s, logged = time.monotonic(), progress.elapsed_s, [0.0, 0.0, 0.0]
    while progress.elapsed_s < plan.minutes * 60:
        batch = next(data)
        loss, right = loss_of(model, tagger, batch)
        loss.backward()
        update(model, optimizers, rate_scale(plan, progress))
        now = time.monotonic()
        progress.step += 1
        progress.seen += batch.inputs.numel()
        progress.elapsed_s += now - last_time
        last_time = now
        logged = [logged[0] + loss.item(), logged[1] + right, logged[2] + 1]
        if progress.step % 50 == 0:
            _log(plan, progress, logged)
            logged = [0.0, 0.0, 0.0]
        if progress.elapsed_s - saved_s > plan.save_every_s:
            saved_s = progress.elapsed_s
            _save(path, model, optimizers, progress)
            export(model, tokenizer, plan.run / "model")
            assert is_causal(model)
    _save(path, model, optimizers, progress)
    export(model, tokenizer, plan.run / "model")
    _write_facts(plan, model, progress)


def _write_facts(plan: Plan, model: Qwen2ForCausalLM, progress: Progress) -> None:
    """Write what the model card says of the run."""
    counts = [(lang, len(load(lang).messages), len(load(lang).issues), len(load(lang).general)) for lang in LANGS]
    facts = {
        "parameters": as_llama(model).num_parameters(),
        "layers": model.config.num_hidden_layers,
        "hidden": model.config.hidden_size,
        "vocabulary": model.config.vocab_size,
        "prompts": {
            task: [canonical(task, "", lang).strip() for lang in LANGS] for task in TASKS if task != "classify"
        },
        "seed": plan.seed,
        "banks": "; ".join(f"{lang}: {m} messages, {i} issue clauses, {g} other texts" for lang, m, i, g in counts),
        "steps": progress.step,
        "tokens": progress.seen,
        "minutes": progress.elapsed_s / 60,
        "machine": f"one core ({torch.get_num_threads()} thread) of an {_processor()}, bf16 autocast",
        "command": f"sh models/nano/train.sh runs/nano {plan.minutes:g}",
    }
    (plan.run / "facts.json").write_text(json.dumps(facts, ensure_ascii=False, indent=1), encoding="utf-8")


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if Path("/proc/cpuinfo").exists() else []
    return next((x.split(":")[1].strip() for x in lines if x.startswith("model name")), "unnamed processor")


def _log(plan: Plan, progress: Progress, logged: list[float]) -> None:
    loss, right, count = logged
    line = {
        "minutes": round(progress.elapsed_s / 60, 2),
        "step": progress.step,
        "tokens": progress.seen,
        "per_s": round(progress.seen / progress.elapsed_s),
        "rate": round(rate_scale(plan, progress), 4),
        "loss": round(loss / count, 4),
        "right": round(right / count, 4),
    }
    print(json.dumps(line), flush=True)


def main() -> None:
    """Train from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add(
        "--run",
        type=Path,
        default=Path("runs/nano"),
        help="folder of checkpoints, tokenizer and model",
    )
    add("--minutes", type=float, default=100.0)
    add("--rate", type=float, default=4e-4)
    add("--tokens", type=int, default=2048, help="tokens in a batch, padding included")
    add("--seed", type=int, default=0)
    add("--flat", type=float, default=0.3, help="share of the time before the rate falls")
    add("--dropout", type=float, default=0.1, help="share of each branch's output dropped while training")
    for key, size in {"hidden": 256, "layers": 4, "heads": 4, "inter": 640}.items():
        add(f"--{key}", type=int, default=size)
    add("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    plan = Plan(
        run=args.run,
        minutes=args.minutes,
        rate=args.rate,
        tokens=args.tokens,
        seed=args.seed,
        flat=args.flat,
        dropout=args.dropout,
    )
    plan.run.mkdir(parents=True, exist_ok=True)
    train(plan, {key: getattr(args, key) for key in ("hidden", "layers", "heads", "inter")})


if __name__ == "__main__":
    main()
