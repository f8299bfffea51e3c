"""The closed sets of words that options take. Imports nothing, so that help may use them."""

from __future__ import annotations

from typing import Literal, TypeAlias

InputFormat: TypeAlias = Literal["auto", "text", "jsonl"]
DecodeErrors: TypeAlias = Literal["strict", "replace", "ignore"]
OutputFormat: TypeAlias = Literal["jsonl", "text"]
ProgressMode: TypeAlias = Literal["auto", "bar", "json", "none"]
Assignment: TypeAlias = Literal["dynamic", "static"]
OnDuplicate: TypeAlias = Literal["error", "first", "allow"]
