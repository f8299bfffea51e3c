"""Arrays of every library as they are: what they are, views of them in another library, new ones.

Nothing is copied but by `contiguous`. torch is used where it is in the process already, and for
arrays on a GPU, whose memory it holds and whose streams it knows; NumPy calls never bring it in.
Knows no operator.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from openautoglm.errors import OperatorArgumentError
from openautoglm.ops.arguments import ArraySpec
from openautoglm.settings import need

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np

Library: TypeAlias = Literal["torch", "numpy", "dlpack"]
"""torch's tensors, NumPy's arrays, and any other that speaks DLPack (CuPy, JAX)."""

_NUMPY_NAMES: Final[Mapping[str, str]] = {
    "float16": "f16",
    "bfloat16": "bf16",
    "float32": "f32",
    "float64": "f64",
    "int8": "i8",
    "int16": "i16",
    "int32": "i32",
    "int64": "i64",
    "uint8": "u8",
    "uint16": "u16",
    "uint32": "u32",
    "uint64": "u64",
    "bool": "bool",
    "float8_e4m3fn": "f8_e4m3fn",
    "float8_e5m2": "f8_e5m2",
}
LONG_NAMES: Final = {short: name for name, short in _NUMPY_NAMES.items()}
_DLPACK_CPU: Final = 1


def is_torch(array: object) -> bool:
    """Return whether this is a tensor of torch, without importing torch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(array, getattr(torch, "Tensor", ()))


def library_of(array: object) -> Library | None:
    """Return whose array this is, or None where it is none."""
    if is_torch(array):
        return "torch"
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(array, numpy.ndarray):
        return "numpy"
    return "dlpack" if hasattr(array, "__dlpack__") else None


def spec_of(array: Any, argument: str) -> ArraySpec:  # noqa: ANN401 - an array of any library
    """Describe an array.

    Raises:
        OperatorArgumentError: it is no array, or of a dtype without a name here.
    """
    library = library_of(array)
    if library is None:
        raise OperatorArgumentError(
            f"argument `{argument}`: expected an array, got {type(array).__name__}",
            fix="pass a torch tensor, a NumPy array, or another array that has `__dlpack__`",
        )
    if library == "numpy" and getattr(array, "mask", None) is not None:
        raise OperatorArgumentError(
            f"argument `{argument}`: a masked array would lose its mask",
            fix="fill it: `array.filled(value)`",
        )
    name = str(array.dtype).rpartition(".")[2]
    dtype = _NUMPY_NAMES.get(name)
    if dtype is None:
        raise OperatorArgumentError(
            f"argument `{argument}`: no operator takes arrays of dtype {name}", fix="cast it"
        )
    return ArraySpec(tuple(array.shape), dtype, _device_of(array, library))


def _device_of(array: Any, library: Library) -> str:  # noqa: ANN401 - an array of any library
    if library == "numpy":
        return "cpu"
    if library == "torch":
        return str(array.device)
    kind, index = array.__dlpack_device__()
    return "cpu" if kind == _DLPACK_CPU else f"cuda:{index}"


def is_foreign(array: object) -> bool:
    """Return whether an array is on a GPU and not torch's: CuPy's or JAX's."""
    library = library_of(array)
    return library == "dlpack" and _device_of(array, library) != "cpu"


def is_contiguous(array: Any) -> bool:  # noqa: ANN401 - an array of any library
    """Return whether the elements stand in order without gaps."""
    library = library_of(array)
    if library == "torch":
        return bool(array.is_contiguous())
    if library == "numpy":
        return bool(array.flags.c_contiguous)
    return bool(as_numpy(array).flags.c_contiguous)


def contiguous(array: Any) -> Any:  # noqa: ANN401 - an array of any library
    """Return the array, or a copy whose elements stand in order without gaps."""
    if is_contiguous(array):
        return array
    if library_of(array) == "torch":
        return array.contiguous()
    return _numpy().ascontiguousarray(as_numpy(array))


def empty(spec: ArraySpec, like: Any) -> Any:  # noqa: ANN401 - an array of any library
    """Return a new contiguous array of the library of `like`; NumPy's where that cannot be written.

    Arrays that are handed over by DLPack come back as NumPy arrays until `in_library_of` returns
    them to their library.
    """
    if library_of(like) == "torch":
        torch = sys.modules["torch"]
        return torch.empty(spec.shape, dtype=torch_dtype(spec.dtype), device=spec.device)
    return _numpy().empty(spec.shape, dtype=LONG_NAMES[spec.dtype])


def torch_dtype(name: str) -> Any:  # noqa: ANN401 - a dtype of torch
    """Return torch's dtype of a name."""
    return getattr(sys.modules["torch"], LONG_NAMES[name])


def torch_name(dtype: object) -> str | None:
    """Return the name of a dtype of torch, None where it has none here."""
    return _NUMPY_NAMES.get(str(dtype).rpartition(".")[2])


def as_numpy(array: Any) -> np.ndarray[Any, Any]:  # noqa: ANN401 - an array of any library
    """Return a NumPy view of an array on the CPU; nothing is copied.

    Of a subclass, whose operators may mean others (`np.matrix`), it is a plain one.
    """
    numpy = _numpy()
    ready = array.detach() if is_torch(array) else array
    is_numpy = isinstance(ready, numpy.ndarray)
    view: np.ndarray[Any, Any] = numpy.asarray(ready) if is_numpy else numpy.from_dlpack(ready)
    return view


def as_torch(array: Any) -> Any:  # noqa: ANN401 - an array of any library
    """Return a torch view of an array; torch must be in the process.

    Copied is only what runs backwards: torch has no negative strides and ends the process at them.
    On a GPU the current stream waits for what the other library has under way.
    """
    if is_torch(array):
        return array
    ready = as_numpy(array) if _device_of(array, "dlpack") == "cpu" else array
    if any(stride < 0 for stride in getattr(ready, "strides", None) or ()):
        ready = ready.copy()
    return _torch().from_dlpack(as_writable(ready))


def as_torch_all(value: Any) -> Any:  # noqa: ANN401 - an argument of an operator
    """Return an argument with its arrays as torch views; None stays."""
    if isinstance(value, (list, tuple)):
        return [as_torch(array) for array in value]
    return None if value is None else as_torch(value)


def detached(tensor: Any) -> Any:  # noqa: ANN401 - a tensor of torch
    """Return the tensor without its gradient history; the C ABI does not carry one."""
    return tensor.detach() if tensor.requires_grad else tensor


def as_writable(array: Any) -> Any:  # noqa: ANN401 - an array of any library
    """Return a view that DLPack hands over: a read-only NumPy array is one for reading only.

    DLPack before 1.0 cannot say read-only, so NumPy refuses; kernels do not write inputs, which
    `ops.check` proves.
    """
    if library_of(array) != "numpy":
        return array
    if any(stride % array.itemsize for stride in array.strides):
        return array.copy()  # a field of a record: DLPack counts strides in elements
    if array.flags.writeable:
        return array
    return _numpy().asarray(_Borrowed(array))


class _Borrowed:
    """The memory of a read-only array, without its flag; keeps the array alive."""

    def __init__(self, array: Any) -> None:  # noqa: ANN401 - a NumPy array
        interface = dict(array.__array_interface__)
        interface["data"] = (interface["data"][0], False)
        self.__array_interface__ = interface
        self._array = array


def copy_into(target: Any, value: Any) -> None:  # noqa: ANN401 - arrays of any library
    """Copy a result into an array that has its shape; casts to its dtype.

    Raises:
        ValueError: the shapes differ.
    """
    shape = tuple(getattr(value, "shape", ()))
    if shape != tuple(target.shape):
        raise ValueError(f"the result has shape {shape}, the output {tuple(target.shape)}")
    if is_torch(target):
        target.copy_(as_torch(value))
    else:
        target[...] = value


def in_library_of(array: Any, like: Any) -> Any:  # noqa: ANN401 - arrays of any library
    """Return a result in the library of an input."""
    if library_of(like) != "dlpack":
        return array
    root = type(like).__module__.partition(".")[0]
    name = {"jaxlib": "jax.numpy", "jax": "jax.numpy"}.get(root, root)
    module = sys.modules.get(name)
    take = getattr(module, "from_dlpack", None)
    return array if take is None else take(array)


def _torch() -> Any:  # noqa: ANN401 - the module
    return need("torch", extra="local", why="operators on other libraries' arrays on a GPU")


def _numpy() -> Any:  # noqa: ANN401 - the module
    return need("numpy", extra="ops", why="operators on arrays other than torch's")
