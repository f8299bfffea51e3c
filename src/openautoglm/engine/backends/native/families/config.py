"""A model's config.json, read by families: each value with its type, or an error that names it.

Owns `Config` and what all families read the same way. Knows no family.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

from openautoglm.engine.backends.native.families.architecture import (
    OTHERWISE,
    Architecture,
    LayerParts,
)
from openautoglm.engine.backends.native.families.rope import Rope
from openautoglm.errors import ModelFolderError, UnknownArchitectureError

if TYPE_CHECKING:
    from collections.abc import Mapping

ACTIVATIONS: Final = ("silu", "swish")
WINDOWED: Final = {"full_attention": False, "sliding_attention": True}


@final
class Config:
    """The values of a config.json.

    Args:
        values: the parsed file.
    """

    def __init__(self, values: Mapping[str, object]) -> None:
        self.values = values

    def count(self, name: str, default: int | None = None) -> int:
        """Return a whole number above 0.

        Raises:
            ModelFolderError: it is none, or is missing and has no default.
        """
        value = self.values.get(name)
        if value is None and default is not None:
            return default
        if type(value) is not int or value <= 0:
            raise self._wrong(name, value, "a whole number above 0")
        return value

    def number(self, name: str, default: float) -> float:
        """Return a number that is not negative; errors as `count`."""
        value = self.values.get(name)
        if value is None:
            return default
        if not isinstance(value, (int, float)) or isinstance(value, bool) or not value >= 0:
            raise self._wrong(name, value, "a number")
        return float(value)

    def flag(self, name: str, *, default: bool = False) -> bool:
        """Return true or false; errors as `count`."""
        value = self.values.get(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise self._wrong(name, value, "true or false")
        return value

    def section(self, name: str) -> Mapping[str, object]:
        """Return an object, empty where it is missing; errors as `count`."""
        value = self.values.get(name)
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise self._wrong(name, value, "an object")
        return value

    def architecture(
        self, parts: LayerParts, *, head_width: int = 0, rotary: float = 1.0, eps: float = 1e-6
    ) -> Architecture:
        """Read what all families call the same.

        Args:
            parts: what a layer of the family has.
            head_width: where the config does not say; 0 for hidden_size / heads.
            rotary: the part of a head that turns, where the config does not say; below 1 the
                family turns neighbours.
            eps: where the config does not say.

        Raises:
            ModelFolderError: a value is missing or of a wrong type.
            UnknownArchitectureError: it asks for what this backend has no operator for.
        """
        self._check_plain()
        heads, hidden = self.count("num_attention_heads"), self.count("hidden_size")
        width = self.count("head_dim", head_width or hidden // heads)
        layers, context = self.count("num_hidden_layers"), self.count("max_position_embeddings")
        is_interleaved = rotary < 1.0
        made = Architecture(
            layers=layers,
            hidden=hidden,
            heads=heads,
            key_heads=self.count("num_key_value_heads", heads),
            head_width=width,
            intermediate=self.count("intermediate_size"),
            vocabulary=self.count("vocab_size"),
            context=context,
            eps=self.number("rms_norm_eps", eps),
            rope=self._rope(context),
            rotary=int(width * self._rotary(rotary)),
            windows=self._windows(layers),
            is_interleaved=is_interleaved,
            is_tied=self.flag("tie_word_embeddings"),
            parts=parts,
        )
        made.rope.check()
        made.check()
        return made

    def _check_plain(self) -> None:
        act = self.values.get("hidden_act", "silu")
        if act not in ACTIVATIONS:
            raise UnknownArchitectureError(
                "the native backend knows one activation, silu", got=repr(act), fix=OTHERWISE
            )
        if self.values.get("quantization_config"):
            raise UnknownArchitectureError(
                "the native backend reads weights that are plain floats",
                got="`quantization_config` in config.json",
                fix=OTHERWISE,
            )

    def _rope_values(self) -> Mapping[str, object]:
        return self.section("rope_parameters") or self.section("rope_scaling")

    def _rope(self, context: int) -> Rope:
        values = self._rope_values()
        kind = values.get("rope_type", values.get("type", "default"))
        theta = values.get("rope_theta", self.values.get("rope_theta") or 10000.0)
        if not isinstance(theta, (int, float)) or isinstance(theta, bool) or theta <= 1:
            raise self._wrong("rope_theta", theta, "a number above 1")
        if any(isinstance(value, dict) for value in values.values()):
            kind = "by layer"
        return Rope(theta=float(theta), kind=str(kind), numbers=values, trained=context)

    def _rotary(self, default: float) -> float:
        named = self._rope_values().get("partial_rotary_factor")
        value = self.values.get("partial_rotary_factor", default) if named is None else named
        if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 < value <= 1:
            raise self._wrong("partial_rotary_factor", value, "a number above 0, at most 1")
        if default == 1.0 and value != 1.0:
            raise UnknownArchitectureError(
                "this family turns whole heads", got=f"partial_rotary_factor {value}", fix=OTHERWISE
            )
        return float(value)

    def _windows(self, layers: int) -> tuple[int, ...]:
        if not self.flag("use_sliding_window") or self.values.get("sliding_window") is None:
            return (0,) * layers
        window = self.count("sliding_window")
        kinds = self.values.get("layer_types")
        if kinds is None:
            whole = int(self.number("max_window_layers", 28))
            return tuple(window if i >= whole else 0 for i in range(layers))
        are_known = isinstance(kinds, list) and all(kind in list(WINDOWED) for kind in kinds)
        if not isinstance(kinds, list) or not are_known or len(kinds) != layers:
            raise self._wrong("layer_types", kinds, f"{layers} of {', '.join(WINDOWED)}")
        return tuple(window if WINDOWED[kind] else 0 for kind in kinds)

    def _wrong(self, name: str, value: object, wanted: str) -> ModelFolderError:
        return ModelFolderError(
            f"`{name}` in config.json must be {wanted}",
            got="nothing" if value is None else repr(value)[:100],
            fix="copy config.json from where the model came from",
        )
