"""From a checked folder to a model in memory: device, dtype, weights, tokenizer.

Owns `load_backend`. `trust_remote_code` is never on.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Final, cast

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedTokenizerFast,
)
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
from transformers.utils import logging

from openautoglm.engine.backend import ModelInfo
from openautoglm.engine.backends.builtin import TRANSFORMERS
from openautoglm.engine.backends.transformers.backend import TransformersBackend
from openautoglm.engine.backends.transformers.injected import weights_bytes
from openautoglm.engine.backends.transformers.injection import (
    explained,
    given_up,
    inject,
)
from openautoglm.engine.backends.transformers.network import Network
from openautoglm.engine.backends.transformers.recipes import Wanted
from openautoglm.engine.memory import check_fits, free_bytes
from openautoglm.engine.model_folder import check_architecture, end_tokens
from openautoglm.engine.shortening import read_part
from openautoglm.errors import (
    BackendUnavailableError,
    InvalidParameterError,
    ModelFolderError,
    UnknownArchitectureError,
    WeightsCorruptError,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from transformers import PreTrainedTokenizerBase

    from openautoglm.engine.backend import LoadSpec
    from openautoglm.engine.model_folder import ModelFolder

DTYPES: Final = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}
BATCH_SIZE: Final = 16


def load_backend(
    folder: ModelFolder, spec: LoadSpec, *, name: str, label: str
) -> TransformersBackend:
    """Load a folder that `inspect` found whole, as backend `name` with a model called `label`.

    Raises:
        InvalidParameterError: an unknown device or dtype.
        BackendUnavailableError: the device is not there.
        UnknownArchitectureError: transformers has no such model.
        ModelTooLargeError: the weights do not fit.
        ModelFolderError: config, weights and tokenizer do not belong together.
        WeightsCorruptError: weights that are not numbers.
    """
    batch_size = _batch_size(spec.options)
    gives_up = read_part(spec.options)
    wanted = Wanted.read(spec.options.get("kernels", "auto"))
    compiler = _compiler(spec.options.get("compile", False))
    device = _device(spec.device)
    dtype = _dtype(spec.dtype, folder.config, device)
    check_architecture(folder, MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)
    _check_decoder(folder)
    _check_config(folder)
    needed = folder.bytes_as(dtype.itemsize)
    check_fits(
        needed,
        _free(device),
        what=f"the model `{label}` in {str(dtype).removeprefix('torch.')}",
        fix='use dtype="bfloat16", a smaller model, or free some memory',
    )
    tokenizer = load_tokenizer(folder)
    model = _model(folder, dtype, device)
    width = model.get_input_embeddings().weight.shape[0]
    _check_vocabulary(tokenizer, width)
    eos = end_tokens(folder, tokenizer.eos_token_id)
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else min(eos, default=0)
    info = _info(model, backend=name, model=label, context_length=folder.context_length)
    injection = inject(model, wanted)
    if not injection.is_equal:
        del model
        model = _model(folder, dtype, device)
        injection = given_up(model)
    network = Network(model, eos=eos, pad=pad, compiler=compiler)
    told = replace(info, weights_bytes=weights_bytes(model), kernels=explained(injection.rows))
    return TransformersBackend(network, tokenizer, told, batch_size=batch_size, gives_up=gives_up)


def _check_decoder(folder: ModelFolder) -> None:
    """Refuse what reads with one half and writes with the other: half of it would be left out."""
    if folder.config.get("is_encoder_decoder"):
        raise UnknownArchitectureError(
            "the model is an encoder with a decoder, and only decoders are run",
            got=f"{folder.architecture}, `is_encoder_decoder` is true",
            fix="use a model that only decodes, such as one of the families Llama, Qwen or GLM",
        )


def _check_config(folder: ModelFolder) -> None:
    """Refuse values of config.json that the library refuses, before the weights are read."""
    try:
        with _quiet():
            AutoConfig.from_pretrained(folder.path, local_files_only=True, trust_remote_code=False)
    except Exception as cause:  # a config class raises what it likes
        raise ModelFolderError(
            "transformers refuses the config.json of the model",
            got=f"{folder.path / 'config.json'}: {_said(cause)}",
            fix="correct the value in config.json, or copy the file again from the same model",
        ) from cause


def _info(
    module: torch.nn.Module, *, backend: str, model: str, context_length: int | None
) -> ModelInfo:
    return ModelInfo(
        backend=backend,
        model=model,
        architecture=type(module).__name__,
        context_length=context_length,
        vocabulary=module.get_output_embeddings().weight.shape[0],
        parameters=sum(p.numel() for p in module.parameters()),
        device=str(module.device),
        dtype=str(module.dtype).removeprefix("torch."),
        sampling=TRANSFORMERS,
    )


def _batch_size(options: Mapping[str, object]) -> int:
    value = options.get("batch_size", BATCH_SIZE)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InvalidParameterError(
            "`batch_size` must be a whole number, at least 1", got=repr(value), fix="batch_size=16"
        )
    return value


def _compiler(option: object) -> str | None:
    """Return what `torch.compile` is to compile with, None for not at all."""
    if isinstance(option, bool):
        return "inductor" if option else None
    known = torch.compiler.list_backends(exclude_tags=())
    if option in known:
        return str(option)
    raise InvalidParameterError(
        "`compile` is neither true, false nor a backend of torch.compile",
        got=repr(option),
        fix=f"compile=True, or one of {', '.join(known)}",
    )


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except (RuntimeError, TypeError) as cause:
        raise InvalidParameterError(
            f"no device is called `{name}`", got=repr(name), fix='use "auto", "cpu" or "cuda"'
        ) from cause
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise BackendUnavailableError(
            f"the device `{name}` is not there",
            got=f"{torch.cuda.device_count()} CUDA devices",
            fix='use device="cpu"',
        )
    if device.type not in {"cpu", "cuda"}:
        raise InvalidParameterError(
            f"the device `{name}` is not supported", fix='use "auto", "cpu" or "cuda"'
        )
    return device


def _dtype(name: str, config: Mapping[str, object], device: torch.device) -> torch.dtype:
    """Return the dtype to compute in: "auto" is float32 on a CPU, elsewhere as stored."""
    if name == "auto":
        stored = str(config.get("dtype") or config.get("torch_dtype"))
        return torch.float32 if device.type == "cpu" else DTYPES.get(stored, torch.float32)
    if name not in DTYPES:
        raise InvalidParameterError(
            f"no dtype is called `{name}`", got=repr(name), fix=f"use auto, {', '.join(DTYPES)}"
        )
    return DTYPES[name]


def _free(device: torch.device) -> int:
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return free_bytes()


def load_tokenizer(folder: ModelFolder) -> PreTrainedTokenizerBase:
    """Read a folder's tokenizer, whatever files it is made of.

    Raises:
        ModelFolderError: it cannot be read.
    """
    kind = PreTrainedTokenizerFast if _is_as_written(folder) else AutoTokenizer
    try:
        return kind.from_pretrained(folder.path, local_files_only=True, trust_remote_code=False)
    except Exception as cause:  # a parser raises what it likes
        raise ModelFolderError(
            "the tokenizer in the model folder cannot be read",
            got=f"{folder.path}: {_said(cause)}",
            fix="copy tokenizer.json and tokenizer_config.json of the same model again",
        ) from cause


def _is_as_written(folder: ModelFolder) -> bool:
    """Return whether tokenizer.json alone says how text is cut.

    `AutoTokenizer` gives some architectures, Qwen2 among them, their own way of cutting text even
    where the folder says that its tokenizer.json is to be taken as it is.
    """
    config = folder.path / "tokenizer_config.json"
    if not config.is_file() or not (folder.path / "tokenizer.json").is_file():
        return False
    try:
        declared = json.loads(config.read_text(encoding="utf-8")).get("tokenizer_class")
    except (ValueError, AttributeError):
        return False  # the library says what is wrong with it
    return declared in {"TokenizersBackend", "PreTrainedTokenizerFast"}


def _model(folder: ModelFolder, dtype: torch.dtype, device: torch.device) -> torch.nn.Module:
    try:
        with _quiet():
            model, report = AutoModelForCausalLM.from_pretrained(
                folder.path,
                dtype=dtype,
                local_files_only=True,
                trust_remote_code=False,
                ignore_mismatched_sizes=True,  # they are refused below, by name
                output_loading_info=True,
            )
    except Exception as cause:  # a model class raises what it likes
        raise ModelFolderError(
            "the weights cannot be loaded into the model of config.json",
            got=f"{folder.path}: {_said(cause)}",
            fix="check that config.json and the weights are of the same model",
        ) from cause
    _check_all_there(report)
    _check_finite(model)
    return model.eval().requires_grad_(False).to(device)


def _check_all_there(report: Mapping[str, Collection[object]]) -> None:
    """Refuse weights that are missing or of another shape, which the library would draw anew."""
    missing = sorted(map(str, report["missing_keys"]))
    unlike = sorted(report["mismatched_keys"], key=str)
    if not missing and not unlike:
        return
    shapes = [
        f"{name} is {list(found)}, config.json makes it {list(wanted)}"
        for name, found, wanted in cast("list[tuple[str, list[int], list[int]]]", unlike[:3])
    ]
    lacks = [f"{len(missing)} missing: {', '.join(missing[:3])}"] if missing else []
    differs = [f"{len(unlike)} of another shape: {', '.join(shapes)}"] if unlike else []
    raise ModelFolderError(
        "the weights lack what the model of config.json needs",
        got="; ".join(lacks + differs),
        fix="check that config.json and the weights are of the same model",
    )


def _check_finite(model: torch.nn.Module) -> None:
    """Refuse weights that are NaN or infinite: what many flipped bits turn a float into."""
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            bad = int((~torch.isfinite(tensor)).sum())
            raise WeightsCorruptError(
                "a weights file holds numbers that are not finite",
                got=f"{name}: {bad} of {tensor.numel()} are NaN or infinite",
                fix="download or copy the weights again",
            )


def _check_vocabulary(tokenizer: PreTrainedTokenizerBase, width: int) -> None:
    highest = max(tokenizer.get_vocab().values(), default=0)
    if highest >= width:
        raise ModelFolderError(
            "the tokenizer has tokens the model has no embedding for",
            got=f"token {highest}, {width} embeddings",
            fix="use the tokenizer that belongs to the model",
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the library's own progress bar and reports off stderr while it loads."""
    level, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bar:
            logging.enable_progress_bar()


def _said(error: BaseException) -> str:
    """Return the class of an error and what it says, up to the line that does not announce one."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    last = next((n for n, line in enumerate(lines) if not line.endswith(":")), len(lines))
    return f"{type(error).__name__}: {' '.join(lines[: last + 1])}"[:300]
