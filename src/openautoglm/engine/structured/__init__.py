"""Structured output: an answer that has the form which was asked for.

That is JSON that follows a schema and copies, where asked, from a source text; or a text of a
regular expression, a choice or a grammar. `compile_form(form, source)` checks and compiles, and
`compile_schema(schema, source)` does so for a schema; `Grammar.constraint(view)` follows one
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
from openautoglm.engine.structured.form import Form, read_form
from openautoglm.engine.structured.grammar import Grammar, compile_form, compile_schema

__all__ = [
    "Form",
    "Grammar",
    "Parsed",
    "TokenConstraint",
    "TokenizerView",
    "compile_form",
    "compile_schema",
    "parse",
    "read_form",
]
