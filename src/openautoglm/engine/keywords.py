"""What a call may say beside its prompt: the one list of those keywords, and who may say each.

Owns `Keywords`, `BatchKeywords` and `split`. Knows nothing of what a keyword does; `Asking` does.

To add one: a line in `Keywords` and one in `BatchKeywords`, a field of `Row`, its kind in
`ROW_KINDS`, and what is made of it in `Asking.request`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, TypeAlias

from openautoglm.engine.sampling import Overrides, check_names, sampling_names

if TYPE_CHECKING:
    from openautoglm.engine.row import Row

Schema: TypeAlias = Mapping[str, object]


class Keywords(Overrides, total=False):
    """Keywords of `AutoGLM.run` and `stream`: sampling parameters for this call alone, and these.

    Attributes:
        schema: a JSON schema the answer must follow; its value is `parsed`.
        source: the text that `x-extractive` values are copied from; the prompt by default.
        regex: a regular expression that the whole answer matches.
        choice: texts of which the answer is one.
        grammar: what the answer follows: Lark in llguidance's dialect, or GBNF, the EBNF of
            llama.cpp, vLLM and XGrammar.
        response_format: the same as OpenAI writes it: `{"type": "json_object"}`, `{"type":
            "json_schema", "json_schema": {…}}`, `{"type": "text"}`, or one of the three above.
        adapter: name of an adapter that was loaded; none of them by default.
    """

    schema: Schema | None
    source: str | None
    regex: str | None
    choice: Sequence[str] | None
    grammar: str | None
    response_format: Schema | None
    adapter: str | None


class BatchKeywords(Overrides, total=False):
    """Keywords of `AutoGLM.batch`: those of `run`.

    Of what is not a sampling parameter, one for all rows or a list with one for each; `choice` is
    for all.
    """

    schema: Schema | Sequence[Schema | None] | None
    source: str | Sequence[str | None] | None
    regex: str | Sequence[str | None] | None
    choice: Sequence[str] | None
    grammar: str | Sequence[str | None] | None
    response_format: Schema | Sequence[Schema | None] | None
    adapter: str | Sequence[str | None] | None


ROW_KINDS: Final[Mapping[str, type]] = MappingProxyType(
    {
        "schema": Mapping,
        "source": str,
        "regex": str,
        "choice": Sequence,
        "grammar": str,
        "response_format": Mapping,
        "adapter": str,
    }
)
"""The keywords that are no sampling parameters, and what one value of each is."""


def split(
    given: Mapping[str, object],
) -> tuple[Mapping[str, object], Mapping[str, object]]:
    """Return the sampling parameters and the rest of what a call was given.

    Raises:
        InvalidParameterError: a keyword is not known; it says which one was meant.
    """
    check_names(given, (*sampling_names(), *ROW_KINDS))
    rest = {name: value for name, value in given.items() if name in ROW_KINDS}
    return {name: value for name, value in given.items() if name not in rest}, rest


def of_fields(row: Row) -> dict[str, object]:
    """Return a row's fields as keywords; `params` apart."""
    return {name: getattr(row, name) for name in ROW_KINDS}
