"""Decode greedily, one text at a time, with or without a grammar.

Owns the model while it answers; knows nothing of tasks.
"""

from pathlib import Path

import llguidance.hf
import llguidance.torch
import torch
from llguidance import LLMatcher
from transformers import AutoModelForCausalLM, AutoTokenizer


class Decoder:
    """A loaded model that answers chats."""

    def __init__(self, folder: Path) -> None:
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        self._guide = llguidance.hf.from_tokenizer(self.tokenizer, n_vocab=len(self.tokenizer))
        self._end = self.model.config.eos_token_id

    def answer(self, prompt: str, grammar: str | None = None, limit: int = 220) -> str:
        """Return the greedy answer to one user turn."""
        chat = [{"role": "user", "content": prompt}]
        shown = self.tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
        inputs = torch.tensor([self.tokenizer.encode(shown, add_special_tokens=False)])
        matcher = LLMatcher(self._guide, grammar) if grammar is not None else None
        out: list[int] = []
        past = None
        while len(out) < limit:
            with torch.no_grad():
                result = self.model(input_ids=inputs, past_key_values=past, use_cache=True, logits_to_keep=1)
            past, logits = result.past_key_values, result.logits[:, -1]
            token = self._choose(logits, matcher)
            if token == self._end:
                break
            out.append(token)
            inputs = torch.tensor([[token]])
        return str(self.tokenizer.decode(out))

    def _choose(self, logits: torch.Tensor, matcher: LLMatcher | None) -> int:
        if matcher is None:
            return int(logits.argmax())
        if matcher.is_stopped():
            return int(self._end)
        mask = llguidance.torch.allocate_token_bitmask(1, logits.shape[-1])
        llguidance.torch.fill_next_token_bitmask(matcher, mask, 0)
        llguidance.torch.apply_token_bitmask_inplace(logits, mask)
        token = int(logits.argmax())
        if matcher.is_error() or not matcher.consume_token(token):
            msg = f"the grammar refused a token / got: {matcher.get_error()}"
            raise RuntimeError(msg)
        return token
