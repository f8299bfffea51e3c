// A tensor of somebody else: where its elements lie and what they are.
//
// Owns nothing; valid for the length of the call. Lives on the host even where the elements are on
// a GPU.
#ifndef OPENAUTOGLM_TENSOR_VIEW_H_
#define OPENAUTOGLM_TENSOR_VIEW_H_

#include <openautoglm/abi.h>
#include <openautoglm/dtype.h>
#include <openautoglm/refusal.h>

#include <optional>

namespace openautoglm {

inline const char* DeviceName(DLDeviceType type) {
  switch (type) {
    case kDLCPU:
      return "cpu";
    case kDLCUDA:
      return "cuda";
    default:
      return "another device";
  }
}

class TensorView {
 public:
  explicit TensorView(const DLTensor* tensor) : tensor_(tensor) {}

  DLDataType dtype() const { return tensor_->dtype; }
  DLDevice device() const { return tensor_->device; }
  int rank() const { return tensor_->ndim; }
  const DLTensor* get() const { return tensor_; }  // borrowed

  // The size of a dimension; negative ones count from the end. Throws for a dimension there is not.
  int64_t size(int dim) const { return tensor_->shape[Checked(dim)]; }

  // The distance between neighbours along a dimension, in elements: 0 where a value is broadcast,
  // negative where NumPy runs backwards.
  int64_t stride(int dim) const {
    const int d = Checked(dim);
    return tensor_->strides != nullptr ? tensor_->strides[d] : SizesAfter(d);
  }

  int64_t numel() const { return SizesAfter(-1); }

  // Whether the elements lie one after the other, the last dimension fastest. Empty tensors do.
  bool is_contiguous() const {
    if (tensor_->strides == nullptr) return true;
    int64_t expected = 1;
    bool compact = true;
    for (int i = rank() - 1; i >= 0; --i) {
      const int64_t size = tensor_->shape[i];
      if (size == 0) return true;
      if (size != 1 && tensor_->strides[i] != expected) compact = false;
      expected *= size;
    }
    return compact;
  }

  bool same_shape(const TensorView& other) const {
    if (rank() != other.rank()) return false;
    for (int i = 0; i < rank(); ++i) {
      if (tensor_->shape[i] != other.tensor_->shape[i]) return false;
    }
    return true;
  }

  // The first element. T must be the tensor's own type; use `bytes` for types this header has no
  // name for.
  template <typename T>
  T* data() const {
    if (!IsDtype(dtype(), DtypeOf<T>::kValue)) {
      Refuse("the kernel reads " + DtypeName(DtypeOf<T>::kValue), DtypeName(dtype()));
    }
    return static_cast<T*>(bytes());
  }

  void* bytes() const { return static_cast<char*>(tensor_->data) + tensor_->byte_offset; }

  // One element by its index in each dimension, bounds checked: for edges and tests, too slow for
  // inner loops.
  template <typename T, typename... Index>
  T& at(Index... index) const {
    const int64_t indices[] = {0, static_cast<int64_t>(index)...};
    if (sizeof...(Index) != static_cast<size_t>(rank()))
      Refuse("an index for each of the tensor's dimensions is needed", sizeof...(Index));
    int64_t offset = 0;
    for (int d = 0; d < rank(); ++d) {
      const int64_t i = indices[d + 1];
      if (i < 0 || i >= tensor_->shape[d])
        Refuse("the index lies outside dimension " + std::to_string(d), i);
      offset += i * stride(d);
    }
    return data<T>()[offset];
  }

  // The shape as text: `[2, 3]`.
  std::string shape_text() const {
    std::string text = "[";
    for (int i = 0; i < rank(); ++i)
      text += (i != 0 ? ", " : "") + std::to_string(tensor_->shape[i]);
    return text + "]";
  }

 private:
  int Checked(int dim) const {
    const int d = dim < 0 ? dim + rank() : dim;
    if (d < 0 || d >= rank()) {
      Refuse("a tensor with a dimension " + std::to_string(dim) + " is needed",
             "shape " + shape_text());
    }
    return d;
  }

  int64_t SizesAfter(int dim) const {
    int64_t count = 1;
    for (int i = dim + 1; i < rank(); ++i) count *= tensor_->shape[i];
    return count;
  }

  const DLTensor* tensor_;
};

// An input that may be absent.
template <typename T>
using Optional = std::optional<T>;

}  // namespace openautoglm

#endif  // OPENAUTOGLM_TENSOR_VIEW_H_
