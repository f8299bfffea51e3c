// A list of operator calls that is played again and again: the step of a decoder.
//
// An operand is a constant, or an array whose first dimension starts at and counts as many rows as two of the numbers
// that every play is given. Each call goes through its operator's cell, so a kernel replaced between two calls serves
// the second. Where a call can only be made in Python (a kernel written in it, a slow operator), the play stops before
// it and says so; the caller makes that call and plays on.
//
// Arrays are borrowed: whoever adds a call keeps its arrays where they are for as long as the program lives.

#include <chrono>
#include <cstring>
#include <memory>
#include <vector>

#include "cell.h"
#include "threads.h"

namespace openautoglm {

namespace ffi = tvm::ffi;

namespace {

constexpr int kMostRank = 8;
constexpr int kMostNumbers = 16;
constexpr int kFixed = -1;  // of an array whose rows are always the same

struct Array {
  DLTensor tensor{};
  int64_t shape[kMostRank] = {};
  int64_t strides[kMostRank] = {};
  char* base = nullptr;
  int64_t held = 0;    // rows there are
  int rows = kFixed;   // which number counts the rows
  int first = kFixed;  // which number is the first row
  int64_t row_bytes = 0;

  void Point(const int64_t* numbers) {
    const int64_t begin = first == kFixed ? 0 : numbers[first];
    const int64_t count = rows == kFixed ? held - begin : numbers[rows];
    if (begin < 0 || begin > held || count < 0 || count > held - begin) {
      TVM_FFI_THROW(ValueError) << "a play means " << count << " rows from row " << begin << " on of an array of "
                                << held;
    }
    shape[0] = count;
    tensor.data = base + begin * row_bytes;
  }
};

// The number of threads that kernels may use, for as long as this lives.
class Allowed {
 public:
  explicit Allowed(int threads) : before_(AllowThreads(threads)) {}
  ~Allowed() { AllowThreads(before_); }
  Allowed(const Allowed&) = delete;
  Allowed& operator=(const Allowed&) = delete;

 private:
  const int before_;
};

// As a cache keeps a value: itself, or the nearest bf16, ties to even; NaN stays NaN.
void Keep(float value, float* to) { *to = value; }
void Keep(float value, uint16_t* to) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  const uint32_t rounded = (bits + 0x7fffU + ((bits >> 16) & 1U)) >> 16;
  *to = static_cast<uint16_t>(value == value ? rounded : (bits >> 16) | 0x40U);
}

class Rows {  // copies rows of one array to where another array has room for them
 public:
  std::unique_ptr<Array> from, to, slots, positions;
  bool is_blocked = false;

  void Check() const;
  void Play() const;

 private:
  template <class Kept>
  void Copy() const;
};

struct Step {
  Cell* cell = nullptr;
  std::vector<ffi::Any> constants;             // by operand; none for arrays
  std::vector<std::unique_ptr<Array>> arrays;  // by operand; null for constants
  std::vector<TVMFFIAny> arguments;
  std::unique_ptr<Rows> rows;  // set where the step copies rows instead
  int64_t calls = 0;
  int64_t nanoseconds = 0;
};

int64_t Now() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

// An array as Python states it: address, code, bits, rows, first, rank, shape..., strides... (in elements).
std::unique_ptr<Array> ReadArray(const ffi::Array<int64_t>& stated) {
  const int rank = static_cast<int>(stated[5]);
  if (rank < 1 || rank > kMostRank || static_cast<int>(stated.size()) != 6 + 2 * rank) {
    TVM_FFI_THROW(ValueError) << "an array of a program has 1 to " << kMostRank << " dimensions";
  }
  auto array = std::make_unique<Array>();
  for (int i = 0; i < rank; ++i) {
    array->shape[i] = stated[6 + i];
    array->strides[i] = stated[6 + rank + i];
  }
  array->base = reinterpret_cast<char*>(stated[0]);
  array->rows = static_cast<int>(stated[3]);
  array->first = static_cast<int>(stated[4]);
  for (const int number : {array->rows, array->first}) {
    if (number < kFixed || number >= kMostNumbers) {
      TVM_FFI_THROW(ValueError) << "a program is given at most " << kMostNumbers << " numbers, from 0 on";
    }
  }
  array->held = array->shape[0];
  const auto bits = static_cast<uint8_t>(stated[2]);
  array->row_bytes = array->strides[0] * bits / 8;
  array->tensor.data = array->base;
  array->tensor.device = {kDLCPU, 0};
  array->tensor.ndim = rank;
  array->tensor.dtype = {static_cast<uint8_t>(stated[1]), bits, 1};
  array->tensor.shape = array->shape;
  array->tensor.strides = array->strides;
  return array;
}

bool Is(const Array& array, int rank, DLDataTypeCode code, int bits) {
  return array.tensor.ndim == rank && array.tensor.dtype.code == code && array.tensor.dtype.bits == bits &&
         (array.shape[rank - 1] <= 1 || array.strides[rank - 1] == 1);
}

void Rows::Check() const {
  const int across = is_blocked ? 3 : 4;  // the dimension of the cache that is the width
  if (!Is(*from, 3, kDLFloat, 32) || !(Is(*to, 5, kDLFloat, 32) || Is(*to, 5, kDLBfloat, 16)) || !Is(*slots, 1, kDLInt, 64) ||
      !Is(*positions, 1, kDLInt, 64) || to->shape[1] != from->shape[1] || to->shape[across] != from->shape[2] ||
      to->shape[7 - across] != 16) {
    TVM_FFI_THROW(ValueError) << "rows of (heads, width) go to a cache of such rows, 16 positions to a block, from f32 to "
                                 "f32 or bf16, with a last dimension that lies side by side";
  }
}

// One row of `from`, (heads, width), goes to slot s, position p of `to`: (slots, heads, blocks, 16, width), or, blocked,
// (slots, heads, blocks, width, 16). A row whose place lies outside is left out.
void Rows::Play() const {
  if (to->tensor.dtype.bits == 16) {
    Copy<uint16_t>();
  } else {
    Copy<float>();
  }
}

template <class Kept>
void Rows::Copy() const {
  const int64_t heads = from->shape[1], width = from->shape[2];
  const auto* slot = reinterpret_cast<const int64_t*>(slots->tensor.data);
  const auto* position = reinterpret_cast<const int64_t*>(positions->tensor.data);
  if (slots->shape[0] < from->shape[0] || positions->shape[0] < from->shape[0]) {
    TVM_FFI_THROW(ValueError) << "each row that is copied has a slot and a position";
  }
  for (int64_t row = 0; row < from->shape[0]; ++row) {
    const int64_t block = position[row] / 16, lane = position[row] % 16;
    if (slot[row] < 0 || slot[row] >= to->shape[0] || position[row] < 0 || block >= to->shape[2]) continue;
    for (int64_t head = 0; head < heads; ++head) {
      const auto* source = static_cast<const float*>(from->tensor.data) + row * from->strides[0] +
                           head * from->strides[1];
      auto* target = static_cast<Kept*>(to->tensor.data) + slot[row] * to->strides[0] + head * to->strides[1] +
                     block * to->strides[2] + (is_blocked ? lane : lane * to->strides[3]);
      const int64_t step = is_blocked ? to->strides[3] : 1;
      for (int64_t i = 0; i < width; ++i) Keep(source[i], target + i * step);
    }
  }
}

class Program {
 public:
  void Call(int64_t cell, const ffi::Array<ffi::Any>& operands) {
    auto step = std::make_unique<Step>();
    step->cell = CellOf(cell);
    const Signature& signature = step->cell->signature();
    if (operands.size() != signature.kinds.size() + signature.output_count) {
      TVM_FFI_THROW(TypeError) << signature.name << " takes " << signature.kinds.size() + signature.output_count
                               << " arguments, outputs included, got " << operands.size();
    }
    for (const ffi::Any& operand : operands) {
      auto stated = operand.as<ffi::Array<int64_t>>();
      step->arrays.push_back(stated ? ReadArray(*stated) : nullptr);
      step->constants.push_back(stated ? ffi::Any() : operand);
      TVMFFIAny argument{};
      if (stated) {
        argument.type_index = kTVMFFIDLTensorPtr;
        argument.v_ptr = &step->arrays.back()->tensor;
      } else {
        argument = *reinterpret_cast<const TVMFFIAny*>(&step->constants.back());
      }
      step->arguments.push_back(argument);
    }
    steps_.push_back(std::move(step));
  }

  void CopyRows(ffi::Array<int64_t> from, ffi::Array<int64_t> slots, ffi::Array<int64_t> positions,
                ffi::Array<int64_t> to, bool is_blocked) {
    auto step = std::make_unique<Step>();
    step->rows = std::make_unique<Rows>();
    step->rows->from = ReadArray(from);
    step->rows->slots = ReadArray(slots);
    step->rows->positions = ReadArray(positions);
    step->rows->to = ReadArray(to);
    step->rows->is_blocked = is_blocked;
    step->rows->Check();
    steps_.push_back(std::move(step));
  }

  // Plays from a step on; returns the one it stopped before, or their count.
  int64_t Play(int64_t at, int threads, bool is_timed, const int64_t* numbers) {
    const auto count = static_cast<int64_t>(steps_.size());
    if (at < 0) TVM_FFI_THROW(ValueError) << "a play begins at call 0 or later, got " << at;
    const Allowed allowed(threads);
    for (; at < count; ++at) {
      Step& step = *steps_[at];
      const int64_t began = is_timed ? Now() : 0;
      const Entered entered = PlayStep(&step, numbers);
      if (entered == Entered::kRefused) break;
      if (entered == Entered::kFailed) throw ffi::details::MoveFromSafeCallRaised();
      if (is_timed) {
        step.nanoseconds += Now() - began;
        ++step.calls;
      }
    }
    return at;
  }

  ffi::Array<int64_t> Times() const {
    ffi::Array<int64_t> times;
    for (const auto& step : steps_) {
      times.push_back(step->calls);
      times.push_back(step->nanoseconds);
    }
    return times;
  }

 private:
  static Entered PlayStep(Step* step, const int64_t* numbers) {
    if (step->rows != nullptr) {
      for (Array* array : {step->rows->from.get(), step->rows->slots.get(), step->rows->positions.get()}) {
        array->Point(numbers);
      }
      step->rows->Play();
      return Entered::kDone;
    }
    for (const auto& array : step->arrays) {
      if (array == nullptr) continue;
      array->Point(numbers);
      if (array->rows != kFixed && array->shape[0] == 0) return Entered::kDone;  // nothing to compute
    }
    TVMFFIAny result{};
    const Entered entered = EnterDoor(step->cell, step->arguments.data(), true, &result);
    if (result.type_index >= kTVMFFIStaticObjectBegin) TVMFFIObjectDecRef(result.v_obj);
    return entered;
  }

  std::vector<std::unique_ptr<Step>> steps_;
};

// program_new() -> [call, copy_rows, play, times]: the functions of one new program, which lives as long as they do.
ffi::Array<ffi::Function> ProgramNew() {
  auto program = std::make_shared<Program>();
  return {
      ffi::Function::FromTyped(
          [program](int64_t cell, ffi::Array<ffi::Any> operands) { program->Call(cell, operands); }),
      ffi::Function::FromTyped([program](ffi::Array<int64_t> from, ffi::Array<int64_t> slots,
                                         ffi::Array<int64_t> positions, ffi::Array<int64_t> to, bool is_blocked) {
        program->CopyRows(from, slots, positions, to, is_blocked);
      }),
      // play(at, threads, is_timed, *numbers)
      ffi::Function::FromPacked([program](ffi::PackedArgs args, ffi::Any* result) {
        int64_t numbers[kMostNumbers] = {};
        if (args.size() < 3 || args.size() > 3 + kMostNumbers) {
          TVM_FFI_THROW(TypeError) << "a program is given at most " << kMostNumbers << " numbers";
        }
        for (int i = 3; i < args.size(); ++i) numbers[i - 3] = args[i].cast<int64_t>();
        *result = program->Play(args[0].cast<int64_t>(), args[1].cast<int>(), args[2].cast<bool>(), numbers);
      }),
      ffi::Function::FromTyped([program] { return program->Times(); }),
  };
}

}  // namespace

TVM_FFI_DLL_EXPORT_TYPED_FUNC(program_new, ProgramNew);

}  // namespace openautoglm
