"""Structured output: JSON that follows a schema and copies, where asked, from a source text.

`compile_schema(schema, source)` checks and compiles; `Grammar.constraint(view)` follows one
sequence, giving a mask of the tokens that may come next; `parse` reads any backend's text back and
says where copied values stand in the source. A backend keeps one `TokenizerView` per loaded model:

    view = TokenizerView(tokenizer, vocabulary_size=logits.shape[-1], eos_token_ids=[...])
    constraint = request.grammar.constraint(view)          # one per sequence
    while not constraint.is_done:
        allowed = torch.from_numpy(constraint.mask())      # bool, one entry per logit
        token = choose(logits.masked_fill(~allowed, -inf))
        if token in view.eos_token_ids: break              # allowed only when the JSON is whole
        constraint.accept(token)
"""

from openautoglm.engine.structured.answer import Parsed, parse
from openautoglm.engine.structured.constraint import TokenConstraint, TokenizerView
from openautoglm.engine.structured.grammar import Grammar, compile_schema

__all__ = ["Grammar", "Parsed", "TokenConstraint", "TokenizerView", "compile_schema", "parse"]
