"""The contracts of the built-in operators, in one tuple.

Knows neither registry nor kernels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from openautoglm.ops.library.add import ADD
from openautoglm.ops.library.attention import ATTENTION, ATTENTION_BF16
from openautoglm.ops.library.bias_gelu import BIAS_GELU, BIAS_GELU_BACKWARD
from openautoglm.ops.library.embedding import EMBEDDING
from openautoglm.ops.library.linear import LINEAR, LINEAR_BF16, LINEAR_INT8
from openautoglm.ops.library.linear_int4 import LINEAR_INT4
from openautoglm.ops.library.lora import LORA
from openautoglm.ops.library.mul import MUL
from openautoglm.ops.library.rms_norm import RMS_NORM, RMS_NORM_BACKWARD
from openautoglm.ops.library.rope import ROPE
from openautoglm.ops.library.sample import SAMPLE
from openautoglm.ops.library.scale_add import SCALE_ADD
from openautoglm.ops.library.silu_gated import SILU_GATED
from openautoglm.ops.library.softmax_cross_entropy import (
    SOFTMAX_CROSS_ENTROPY,
    SOFTMAX_CROSS_ENTROPY_BACKWARD,
)

if TYPE_CHECKING:
    from openautoglm.ops.opdef import OpDef

DEFINITIONS: Final[tuple[OpDef, ...]] = (
    ADD,
    MUL,
    SCALE_ADD,
    BIAS_GELU,
    BIAS_GELU_BACKWARD,
    RMS_NORM,
    RMS_NORM_BACKWARD,
    SOFTMAX_CROSS_ENTROPY,
    SOFTMAX_CROSS_ENTROPY_BACKWARD,
    LINEAR,
    LINEAR_BF16,
    LINEAR_INT8,
    LINEAR_INT4,
    LORA,
    EMBEDDING,
    ROPE,
    ATTENTION,
    ATTENTION_BF16,
    SILU_GATED,
    SAMPLE,
)
