"""Operators and kernels written with op.h and c.h do what they say, and refuse with our errors."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from openautoglm.errors import BuildFailedError, KernelFailedError, OperatorArgumentError
from openautoglm.native.library import KernelLibrary
from openautoglm.native.toolchain import build_folder

if TYPE_CHECKING:
    from collections.abc import Callable

    Opened = Callable[..., KernelLibrary]

ROOT = Path(__file__).parents[3]
HEAD = "#include <openautoglm/op.h>\nusing namespace openautoglm;\n"
FORMS = (
    HEAD
    + """
template <typename Device> struct CustomAddKernel;
template <> struct CustomAddKernel<CPU> {
  static void forward(TensorView x, TensorView y, TensorView z) {
    const float *a = x.data<float>(), *b = y.data<float>();
    for (int64_t i = 0; i < x.numel(); ++i) z.data<float>()[i] = a[i] + b[i];
  }
};
class CustomAddOp : public Operator {
 public:
  void forward() override { CustomAddKernel<CPU>::forward(tensor(0), tensor(1), tensor(2)); }
  void backward() override {
    for (int i = 1; i < 3; ++i) CustomAddKernel<CPU>::forward(tensor(i), tensor(0), tensor(i));
  }
};
void CheckCustomAdd(const Arguments& arguments) {
  const TensorView x = arguments.tensor(0), y = arguments.tensor(1);
  OAG_CHECK_SAME_SHAPE(y, x);
}
constexpr OpProto OpProtoAndCheckerGetter() {
  return OpProto("CustomAdd(Tensor x, Tensor y) -> Tensor", CheckCustomAdd);
}
Operator* CustomAddOpCreator() { return new CustomAddOp; }

REGISTER_OPERATOR(CustomAdd, OpProtoAndCheckerGetter, CustomAddOpCreator);
REGISTER_KERNEL(CustomAdd, CustomAddKernel<CPU>, CPU);

class Halve : public ForwardOperator {
 public:
  static constexpr const char* kSchema = "halve(Tensor x) -> Tensor";
  static constexpr int kPriority = 7;
  void forward() override {
    const TensorView x = tensor(0), z = tensor(1);
    for (int64_t i = 0; i < x.numel(); ++i) z.data<double>()[i] = x.data<double>()[i] / 2;
  }
};
REGISTER_OP(halve, Halve);
"""
)
ARGUMENTS = (
    HEAD
    + """
struct Everything {
  static void forward(TensorView x, Optional<TensorView> bias, const DLTensor* maybe,
                      std::vector<TensorView> many, double scale, int count, bool flag,
                      std::string_view mode, TensorView out) {
    double sum = scale + count + (flag ? 100 : 0) + static_cast<double>(mode.size());
    for (const TensorView& each : many) sum += static_cast<double>(each.numel());
    if (bias) sum += 1000;
    if (maybe != nullptr) sum += 10000;
    out.at<double>(0) = sum + x.at<float>(1, 2);
  }
};
REGISTER_KERNEL(everything, Everything, CPU, F32);

struct Checked {
  static void forward(TensorView x, TensorView y, double eps, TensorView out) {
    OAG_CHECK_DTYPE(x, F32, F64);
    OAG_CHECK_RANK(x, 2);
    OAG_CHECK_CONTIGUOUS(x);
    OAG_CHECK_SAME_DTYPE(y, x);
    OAG_CHECK_SIZE(y, 0, x.size(-1));
    OAG_CHECK_SAME_SHAPE(out, x);
    OAG_CHECK(eps > 0, "eps must be positive", eps);
    out.data<float>();
  }
};
REGISTER_KERNEL(checked, Checked, CPU);

struct Throws {
  static void forward(int how) {
    if (how == 0) throw std::runtime_error("disk on fire");
    if (how == 1) throw 5;
    Fail("gave up");
  }
};
REGISTER_KERNEL(throws, Throws, CPU);
"""
)


@pytest.fixture(scope="session")
def forms(opened: Opened) -> KernelLibrary:
    return opened(forms_cc=FORMS)


@pytest.fixture(scope="session")
def arguments(opened: Opened) -> KernelLibrary:
    return opened(arguments_cc=ARGUMENTS)


def kernel(library: KernelLibrary, op: str, at: int = 0) -> Callable[..., object]:
    rows = sorted((k for k in library.kernels if k.op == op), key=lambda k: -k.priority)
    return library.function(rows[at].symbol)


def test_the_manifest_tells_operators_and_kernels_of_every_form(forms: KernelLibrary) -> None:
    assert {(o.name, o.schema) for o in forms.operators} == {
        ("CustomAdd", "CustomAdd(Tensor x, Tensor y) -> Tensor"),
        ("halve", "halve(Tensor x) -> Tensor"),
    }
    assert sorted((k.op, k.priority, k.device, k.dtypes) for k in forms.kernels) == [
        ("CustomAdd", -50, "cpu", ()),
        ("CustomAdd", 0, "cpu", ()),
        ("CustomAdd_backward", -50, "cpu", ()),
        ("halve", 7, "cpu", ()),
    ]


def test_a_registered_kernel_and_a_created_operator_agree(forms: KernelLibrary) -> None:
    x, y = np.arange(6, dtype="f4"), np.ones(6, "f4")
    for at in (0, 1):
        out = np.empty(6, "f4")
        kernel(forms, "CustomAdd", at)(x, y, out)
        np.testing.assert_array_equal(out, x + y)


def test_an_operator_class_has_forward_and_backward(forms: KernelLibrary) -> None:
    out = np.empty(3)
    kernel(forms, "halve")(np.array([2.0, 4.0, 6.0]), out)
    np.testing.assert_array_equal(out, [1, 2, 3])
    grads = np.zeros((2, 3), "f4")
    kernel(forms, "CustomAdd_backward")(np.full(3, 5, "f4"), grads[0], grads[1])
    np.testing.assert_array_equal(grads, np.full((2, 3), 5))


def test_the_checker_of_a_proto_runs_before_the_operator(forms: KernelLibrary) -> None:
    x = np.zeros(3, "f4")
    with pytest.raises(OperatorArgumentError, match="CustomAdd: y must have the shape of x"):
        kernel(forms, "CustomAdd", 1)(x, np.zeros(4, "f4"), x)


@pytest.mark.parametrize("bias", [None, np.zeros(1)])
@pytest.mark.parametrize("maybe", [None, np.zeros(1)])
def test_every_kind_of_argument_arrives(
    arguments: KernelLibrary, bias: object, maybe: object
) -> None:
    import tvm_ffi

    out = np.zeros(1)
    many = tvm_ffi.Array([tvm_ffi.from_dlpack(np.zeros(3)), tvm_ffi.from_dlpack(np.zeros(4))])
    x = np.arange(12, dtype="f4").reshape(4, 3).T  # strides the kernel must follow
    call = kernel(arguments, "everything")
    for mode in ("tanh", "a longer text than fits a word"):
        call(x, bias, maybe, many, 1, 2, True, mode, out)
        present = (1000 if bias is not None else 0) + (10000 if maybe is not None else 0)
        assert out[0] == 1 + 2 + 100 + len(mode) + 7 + present + x[1, 2]


X = np.zeros((2, 3), "f4")
V = np.zeros(3, "f4")


@pytest.mark.parametrize(
    ("call", "problem", "got"),
    [
        ((X.astype("i4"), V, 1.0, X), "x must be f32 or f64", "i32"),
        ((V, V, 1.0, X), "x must have 2 dimensions", "shape [3]"),
        (
            (np.zeros((3, 2), "f4").T, V, 1.0, X),
            "x must be contiguous",
            "shape [2, 3], strides [1, 2]",
        ),
        ((X, np.zeros(3), 1.0, X), "y must be f32 as x is", "f64"),
        ((X, X, 1.0, X), "y must have x.size(-1) = 3 in dimension 0", "shape [2, 3]"),
        ((X, V, 1.0, V), "out must have the shape of x, [2, 3]", "shape [3]"),
        ((X, V, 0.0, X), "eps must be positive", "0"),
        ((X, V, 1, X.astype("f8")), "the kernel reads f32", "f64"),
        ((X, V, "1", X), "argument 3 must be a float", "a str"),
        ((X, None, 1.0, X), "argument 2 must be a tensor", "None"),
        ((X, V, X), "the kernel takes 4 arguments, outputs included", "3 arguments"),
    ],
)
def test_a_wrong_argument_is_named_with_what_was_expected_and_what_came(
    arguments: KernelLibrary, call: tuple[object, ...], problem: str, got: str
) -> None:
    with pytest.raises(OperatorArgumentError) as caught:
        kernel(arguments, "checked")(*call)
    assert caught.value.problem == f"checked: {problem}"
    assert caught.value.got == got


def test_a_dtype_that_is_not_registered_is_refused_before_the_kernel(
    arguments: KernelLibrary,
) -> None:
    with pytest.raises(OperatorArgumentError, match="argument 1 must be f32"):
        kernel(arguments, "everything")(np.zeros(1), None, None, None, 1, 2, True, "", np.zeros(1))


@pytest.mark.parametrize(
    ("how", "said"),
    [
        (0, "throws: disk on fire"),
        (1, "throws: the kernel threw something that is no std::exception"),
        (2, "throws: gave up"),
    ],
)
def test_nothing_a_kernel_throws_leaves_it_as_an_exception(
    arguments: KernelLibrary, how: int, said: str
) -> None:
    with pytest.raises(KernelFailedError) as caught:
        kernel(arguments, "throws")(how)
    assert caught.value.problem == said


def test_an_integer_that_does_not_fit_is_refused(arguments: KernelLibrary) -> None:
    with pytest.raises(OperatorArgumentError, match="argument 1 does not fit 32 bits"):
        kernel(arguments, "throws")(2**40)


def test_the_c_plugin_follows_strides_and_ranks() -> None:
    with KernelLibrary.open(build_folder(ROOT / "plugins/ops/plain-c").path) as library:
        (row,) = library.kernels
        assert (row.language, row.dtypes) == ("c", ("f32",))
        negate = library.function(row.symbol)
        x = np.arange(24, dtype="f4").reshape(2, 3, 4)
        for view in (x, x.T, x[:, ::-1, 1::2], np.array(3, "f4"), x[:0]):
            out = np.empty_like(view)
            negate(view, out)
            np.testing.assert_array_equal(out, -view)
        with pytest.raises(OperatorArgumentError, match="the output must have the shape of x"):
            negate(x, x.T)


def test_the_cpp_plugin_adds_and_differentiates_with_every_instruction_set() -> None:
    built = build_folder(ROOT / "plugins/ops/fast-add", cuda=False)
    with KernelLibrary.open(built.path) as library:
        x, y = np.arange(7.0), np.ones(7)
        for row in (k for k in library.kernels if k.op == "fast_add"):
            out = np.empty(7)
            library.function(row.symbol)(x, y, 0.5, out)
            np.testing.assert_array_equal(out, x + 0.5)
        grads = np.empty((2, 7))
        kernel(library, "fast_add_backward")(y, 0.5, grads[0], grads[1])
        np.testing.assert_array_equal(grads[1], np.full(7, 0.5))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "struct K { static void forward(TensorView) {} }; REGISTER_KERNEL(k, K, CPU, F23);",
            "F23",
        ),
        ("struct K { static void forward(void***) {} }; REGISTER_KERNEL(k, K, CPU);", "Reader"),
        ("struct K {}; REGISTER_OP(k, K);", "subclass of openautoglm::Operator"),
    ],
)
def test_a_wrong_registration_does_not_compile(opened: Opened, text: str, said: str) -> None:
    with pytest.raises(BuildFailedError) as caught:
        opened(wrong_cc=HEAD + text)
    assert said in str(caught.value.got)
