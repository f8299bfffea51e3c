"""Answers to the whole corpus by a model that knows nothing, and what they come to.

Owns `Tally` and `answer`: every answer is read again with `jsonschema` alone.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, TypeAlias

from jsonschema import Draft202012Validator
from jsonschema.validators import extend

from openautoglm.engine.row import Row
from openautoglm.engine.structured import compile_schema
from openautoglm.errors import OutputParseError, SchemaError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from jsonschema.exceptions import ValidationError
    from jsonschema.protocols import Validator

    from openautoglm import AutoGLM, Generation

Schema: TypeAlias = dict[str, object]

CLOSERS = ('"', "}", "]", ",", '"}', '"]')
BIAS = 6.0
"""Added to what closes JSON, so that a model without sense ends a text now and then."""


@dataclass
class Tally:
    """What became of schemas and answers; `invalid`, `failed` and `slow` are findings.

    Attributes:
        unlucky: an answer breaks a keyword that `Grammar.checked` names; it came as an error.
        slow: a schema that took longer than a second to compile, or a row of more than 5 s.
    """

    accepted: int = 0
    refused: dict[str, str] = field(default_factory=dict)
    checked: int = 0
    valid: int = 0
    cut: int = 0
    unlucky: int = 0
    invalid: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    slow: list[str] = field(default_factory=list)

    def told(self) -> str:
        """Return one line of all numbers."""
        return (
            f"accepted {self.accepted}, refused {len(self.refused)}, with keywords checked "
            f"afterwards {self.checked}; answers: valid {self.valid}, cut by length {self.cut}, "
            f"errors of checked keywords {self.unlucky}, invalid {len(self.invalid)}, "
            f"failed {len(self.failed)}, slow {len(self.slow)}"
        )


def closing_tokens(folder: Path) -> dict[int, float]:
    """Return a bias for the tokens of a model's folder that close JSON."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    found = (tokenizer.token_to_id(mark) for mark in CLOSERS)
    return {token: BIAS for token in found if token is not None}


def compiled(schemas: Mapping[str, Schema], tally: Tally) -> dict[str, Schema]:
    """Return the schemas that are accepted."""
    accepted = {}
    for name, schema in schemas.items():
        started_s = time.process_time()
        try:
            grammar = compile_schema(schema)
        except SchemaError as error:
            tally.refused[name] = str(error)
            continue
        if time.process_time() - started_s > 1:
            tally.slow.append(name)
        accepted[name] = schema
        tally.checked += bool(grammar.checked)
    tally.accepted += len(accepted)
    return accepted


def rows(
    schemas: Mapping[str, Schema], seeds: range, params: Mapping[str, object]
) -> Iterator[Row]:
    """Yield a row for each schema and seed; even seeds are hot, the first is greedy."""
    for seed in seeds:
        chance = {"temperature": (0.0, 1.0, 1.6)[seed % 3], "seed": seed}
        for name, schema in schemas.items():
            yield Row(prompt="Answer.", id=name, schema=schema, params={**params, **chance})


def answer(
    engine: AutoGLM,
    schemas: Mapping[str, Schema],
    *,
    seeds: range,
    params: Mapping[str, object],
    tally: Tally,
) -> None:
    """Let an engine answer to each schema under each seed, and count what comes."""
    validators = {name: strict_reader(schema) for name, schema in schemas.items()}
    for name, generation in engine.stream_batch(rows(schemas, seeds, params)):
        _count(str(name), generation, validators[str(name)], tally)


def _count(name: str, generation: Generation, reader: Validator, tally: Tally) -> None:
    if generation.timings.total_s > 30:
        tally.slow.append(name)
    if generation.error is not None:
        is_checked = isinstance(generation.error, OutputParseError) and (
            "(`uniqueItems`)" in generation.error.problem
        )
        tally.unlucky += is_checked
        if not is_checked:
            tally.failed.append(f"{name}: {generation.error}")
    elif generation.finish_reason == "length":
        tally.cut += 1
    else:
        value = json.loads(generation.text)
        faults = [f.message[:200] for f in reader.iter_errors(value)]
        is_parsed = generation.parsed == value
        if faults or not is_parsed or generation.text != compact(value, generation.text):
            tally.invalid.append(f"{name}: {generation.text[:200]} {faults}")
        else:
            tally.valid += 1


def compact(value: object, text: str) -> str:
    """Return a text when it has no white space between its parts, else a value without it."""
    outside = "".join(text.split('"')[::2]) if "\\" not in text else ""
    return (
        text if not any(c.isspace() for c in outside) else json.dumps(value, separators=(",", ":"))
    )


def strict_reader(schema: Schema) -> Validator:
    """Return a validator that knows nothing of this package; it divides as decimals do."""

    def divides(_: Validator, rule: object, value: object, __: object) -> Iterator[ValidationError]:
        from jsonschema.exceptions import ValidationError

        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if is_number and Decimal(str(value)) % Decimal(str(rule)):
            yield ValidationError(f"{value!r} is not a multiple of {rule!r}")

    kind = extend(Draft202012Validator, {"multipleOf": divides})  # type: ignore[no-untyped-call] # its stubs
    made: Validator = kind(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)
    return made
