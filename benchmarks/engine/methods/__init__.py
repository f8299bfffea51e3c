"""The methods that are measured: which there are, where they run, how a peer is installed.

Owns `METHODS`. A method is a module beside this one with `load(setting) -> Method`. Imports nothing
but Python's own, so that any peer's interpreter can read it.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import TYPE_CHECKING, Final, Protocol, cast

from shapes import cache

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from work import Work

ALL: Final = frozenset({"uniform", "variable", "shared", "single", "copying", "copying-single"})
SAID: Final = frozenset({"copying-said", "copying-said-single"})
OURS: Final = ALL | SAID | {"json", "json-steps"}
COPIES: Final = SAID | {"copying", "copying-single"}


class Method(Protocol):
    """A model that is loaded."""

    def run(self, work: Work) -> Sequence[Sequence[int]]:
        """Do work; return the new tokens of each row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What a method is told.

    Attributes:
        model: name of it.
        folder: in Hugging Face's form; other forms lie inside.
        kind: how numbers are kept, in the method's own words.
        threads: how many it may use.
    """

    model: str
    folder: Path
    kind: str
    threads: int


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """A method that can be measured.

    Attributes:
        module: beside this one.
        kind: how numbers are kept.
        works: those it can do.
        needs: module that must be there.
        install: how a peer gets there, for pip.
        venv: name of a virtual environment in the cache that a peer has to itself; "" for ours.
        files: copies of a model it reads: "gguf-f32" and the like.
        is_exact: computes in f32, so that tokens can be compared.
    """

    module: str
    kind: str
    works: frozenset[str] = ALL
    needs: str = "openautoglm"
    install: str = ""
    venv: str = ""
    files: tuple[str, ...] = ()
    is_exact: bool = field(default=False)

    @property
    def python(self) -> str:
        """The interpreter it runs in."""
        return str(cache() / "peers" / self.venv / "bin/python") if self.venv else sys.executable


def _ours(kind: str) -> About:
    return About(module="ours", kind=kind, works=OURS, is_exact=kind == "fp32")


def _told(about: About) -> About:
    """Return the same, told of the beginning that prompts share."""
    return replace(about, kind=f"{about.kind}-told", works=frozenset({"shared"}))


def _ctranslate2(kind: str) -> About:
    return About(
        module="ctranslate2_generator",
        kind=kind,
        needs="ctranslate2",
        install="ctranslate2==4.8.5",
        files=(f"ctranslate2-{kind}",),
        is_exact=kind == "float32",
    )


def _llama(kind: str) -> About:
    return About(
        module="llama_cpp_batch",
        kind=kind,
        needs="llama_cpp",
        install="llama-cpp-python==0.3.36",
        files=(f"gguf-{kind}",),
        is_exact=kind == "f32",
    )


def _openvino(kind: str) -> About:
    return About(
        module="openvino_genai_batch",
        kind=kind,
        needs="openvino_genai",
        install="openvino-genai==2026.4.1.0",
        venv="openvino",
        files=(f"gguf-{kind}",),
    )


METHODS: Final[dict[str, About]] = {
    "ours-fp32": _ours("fp32"),
    "ours-bf16": _ours("bf16"),
    "ours-int8": _ours("int8"),
    "ours-int4": _ours("int4"),
    "ours-fp32-plain": About(module="ours", kind="fp32-plain", works=COPIES, is_exact=True),
    "ours-int8-plain": About(module="ours", kind="int8-plain", works=COPIES),
    "transformers-fp32": About(
        module="transformers_padded", kind="float32", needs="transformers", is_exact=True
    ),
    "transformers-bf16": About(module="transformers_padded", kind="bfloat16", needs="transformers"),
    "generate_batch-fp32": About(
        module="transformers_paged", kind="float32", needs="transformers", is_exact=True
    ),
    "ctranslate2-fp32": _ctranslate2("float32"),
    "ctranslate2-int8": _ctranslate2("int8"),
    "ctranslate2-int8-told": _told(_ctranslate2("int8")),
    "llama.cpp-f32": _llama("f32"),
    "llama.cpp-q8_0": _llama("q8_0"),
    "llama.cpp-q8_0-told": _told(_llama("q8_0")),
    "openvino-q8_0": _openvino("q8_0"),
    "openvino-q8_0-told": _told(_openvino("q8_0")),
}


def load(module: str, setting: Setting) -> Method:
    """Load a method's model."""
    return cast("Method", import_module(f"methods.{module}").load(setting))
