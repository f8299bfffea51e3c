// The kernel around the passes of `sample`: what a row asks for, and its logits after edits and mask.
#ifndef OPENAUTOGLM_KERNELS_SAMPLE_KERNEL_H_
#define OPENAUTOGLM_KERNELS_SAMPLE_KERNEL_H_

#include <openautoglm/op.h>
#include <openautoglm/parallel.h>

#include "../axes.h"
#include "choose.h"

namespace openautoglm::kernels {

// One value for each row, or the same for all.
template <class T>
class SampleValues {
 public:
  SampleValues(const char* name, const Optional<TensorView>& values, int64_t rows, T otherwise) : otherwise_(otherwise) {
    if (!values) return;
    CheckRank(name, *values, 1);
    CheckSize(name, *values, 0, "rows", rows);
    data_ = values->template data<const T>();
    step_ = values->stride(0);
  }

  T operator[](int64_t row) const { return data_ == nullptr ? otherwise_ : data_[row * step_]; }
  bool is_given() const { return data_ != nullptr; }

 private:
  T otherwise_;
  const T* data_ = nullptr;
  int64_t step_ = 0;
};

struct SampleInputs {
  TensorView logits;
  SampleValues<float> temperature, uniform;
  SampleValues<int64_t> top_k;
  SampleValues<float> top_p, min_p, repetition, presence, frequency;
  SampleValues<int64_t> edited, count;
  SampleValues<float> bias;
  Optional<TensorView> mask;

  int64_t vocabulary() const { return logits.size(1); }

  SampleRow Row(int64_t row) const {
    SampleRow read;
    read.temperature = uniform.is_given() ? temperature[row] : 0;
    read.top_k = top_k[row];
    read.top_p = top_p[row];
    read.min_p = min_p[row];
    read.repetition = repetition[row];
    read.presence = presence[row];
    read.frequency = frequency[row];
    read.uniform = uniform[row];
    if (read.uniform < 0) read.uniform = 0;
    if (read.uniform >= 1) read.uniform = 1 - 0x1p-24F;
    return read;
  }
};

// The edits of each row, in the order they were given.
class SampleEdits {
 public:
  SampleEdits(const SampleInputs& inputs, int64_t edits) {
    if (!inputs.edited.is_given() || edits == 0) return;
    const int64_t rows = inputs.logits.size(0), vocabulary = inputs.vocabulary();
    begin_.assign(static_cast<size_t>(rows) + 1, 0);
    const auto row_of = [&](int64_t edit) {
      const int64_t place = inputs.edited[edit];
      return place >= 0 && place < rows * vocabulary ? place / vocabulary : -1;
    };
    for (int64_t e = 0; e < edits; ++e) {
      if (const int64_t row = row_of(e); row >= 0) ++begin_[static_cast<size_t>(row) + 1];
    }
    for (int64_t r = 0; r < rows; ++r) begin_[static_cast<size_t>(r) + 1] += begin_[static_cast<size_t>(r)];
    edits_.resize(static_cast<size_t>(begin_.back()));
    std::vector<int64_t> next = begin_;
    for (int64_t e = 0; e < edits; ++e) {
      if (const int64_t row = row_of(e); row >= 0) edits_[static_cast<size_t>(next[static_cast<size_t>(row)]++)] = e;
    }
  }

  bool Has(int64_t row) const { return !begin_.empty() && begin_[row] < begin_[row + 1]; }

  void Apply(const SampleInputs& inputs, const SampleRow& asked, int64_t row, float* logits) const {
    for (int64_t i = begin_[row]; i < begin_[row + 1]; ++i) {
      float& logit = logits[inputs.edited[edits_[i]] - row * inputs.vocabulary()];
      logit += inputs.bias[edits_[i]];
      const int64_t count = inputs.count[edits_[i]];
      if (count < 0) continue;
      logit = logit < 0 ? logit * asked.repetition : logit / asked.repetition;
      if (count > 0) logit -= asked.presence + static_cast<float>(count) * asked.frequency;
    }
  }

 private:
  std::vector<int64_t> begin_, edits_;
};

// Which tokens a row may take, 32 to a word; those beyond the words may not.
class SampleMask {
 public:
  SampleMask(const Optional<TensorView>& mask, int64_t row, int64_t vocabulary) : vocabulary_(vocabulary) {
    if (!mask) return;
    words_ = mask->data<const int32_t>() + row * mask->stride(0);
    step_ = mask->stride(1);
    count_ = mask->size(1);
    for (int64_t w = 0; w < (vocabulary + 31) / 32 && !forbids_; ++w) forbids_ = (Word(w) & Used(w)) != Used(w);
  }

  bool forbids() const { return forbids_; }

  void Apply(const float* from, float* to) const {
    for (int64_t w = 0; w * 32 < vocabulary_; ++w) {
      const uint32_t word = Word(w);
      const int64_t end = std::min<int64_t>(32, vocabulary_ - w * 32);
      if (word == 0) {
        std::fill_n(to + w * 32, end, kMinusInfinity);
        continue;
      }
      for (int64_t i = 0; i < end; ++i) to[w * 32 + i] = (word >> i & 1U) != 0 ? from[w * 32 + i] : kMinusInfinity;
    }
  }

 private:
  uint32_t Word(int64_t w) const { return w < count_ ? static_cast<uint32_t>(words_[w * step_]) : 0U; }
  uint32_t Used(int64_t w) const {
    const int64_t left = vocabulary_ - w * 32;
    return left >= 32 ? ~0U : (1U << left) - 1;
  }

  int64_t vocabulary_;
  const int32_t* words_ = nullptr;
  int64_t step_ = 0, count_ = 0;
  bool forbids_ = false;
};

class SampleRows {
 public:
  SampleRows(const SampleTable& table, const SampleInputs& inputs, const SampleEdits& edits)
      : table_(table), inputs_(inputs), edits_(edits) {}

  // The token of a row, or -1; and its log-probability before edits, mask and filters.
  int64_t Run(int64_t row, float* logprob) {
    const int64_t count = inputs_.vocabulary();
    const SampleRow asked = inputs_.Row(row);
    const float* given = Given(row);
    const SampleMask mask(inputs_.mask, row, count);
    const float* logits = given;
    if (edits_.Has(row) || mask.forbids()) {
      room_.row.resize(static_cast<size_t>(count));
      if (edits_.Has(row)) {
        std::copy_n(given, count, room_.row.data());
        edits_.Apply(inputs_, asked, row, room_.row.data());
        logits = room_.row.data();
      }
      if (mask.forbids()) mask.Apply(logits, room_.row.data());
      logits = room_.row.data();
    }
    if (logprob != nullptr) *logprob = std::numeric_limits<float>::quiet_NaN();
    if (!asked.IsNumber()) return -1;
    const bool is_given = logits == given && logprob != nullptr;
    SampleChoice choice(table_, logits, count, asked, room_);
    SampleScan scan = table_.scan(logits, count, asked.IsGreedy() ? nullptr : choice.blocks(), is_given);
    if (scan.is_bad || scan.token < 0) return -1;
    const int64_t token = asked.IsGreedy() ? scan.token : choice.Run(scan);
    if (token < 0 || logprob == nullptr) return token;
    if (!is_given) scan = table_.scan(given, count, nullptr, true);
    if (!scan.is_bad) *logprob = static_cast<float>(given[token] - scan.log_sum);
    return token;
  }

 private:
  const float* Given(int64_t row) {
    const TensorView& logits = inputs_.logits;
    const float* from = logits.data<const float>() + row * logits.stride(0);
    if (logits.stride(1) == 1 || logits.size(1) <= 1) return from;
    given_.resize(static_cast<size_t>(logits.size(1)));
    for (int64_t i = 0; i < logits.size(1); ++i) given_[static_cast<size_t>(i)] = from[i * logits.stride(1)];
    return given_.data();
  }

  const SampleTable& table_;
  const SampleInputs& inputs_;
  const SampleEdits& edits_;
  SampleRoom room_;
  std::vector<float> given_;
};

template <const SampleTable& kTable, int kRank>
struct SampleKernel {
  static constexpr int kPriority = kRank;

  static void forward(TensorView logits, Optional<TensorView> temperature, Optional<TensorView> uniform,
                      Optional<TensorView> top_k, Optional<TensorView> top_p, Optional<TensorView> min_p,
                      Optional<TensorView> repetition, Optional<TensorView> presence, Optional<TensorView> frequency,
                      Optional<TensorView> edited, Optional<TensorView> count, Optional<TensorView> bias,
                      Optional<TensorView> mask, bool scored, TensorView token, TensorView logprob) {
    OAG_CHECK_RANK(logits, 2);
    OAG_CHECK(logits.size(1) <= std::numeric_limits<int32_t>::max(), "tokens must have numbers of 32 bits",
              logits.shape_text());
    const int64_t n = logits.size(0), edits = edited ? edited->size(0) : 0;
    OAG_CHECK_SIZE(token, 0, n);
    OAG_CHECK_SIZE(logprob, 0, n);
    if (mask) {
      CheckRank("mask", *mask, 2);
      CheckSize("mask", *mask, 0, "rows", n);
    }
    const Optional<TensorView> none;
    const SampleInputs inputs{logits,
                              {"temperature", temperature, n, 0},
                              {"uniform", uniform, n, 0},
                              {"top_k", top_k, n, 0},
                              {"top_p", top_p, n, 1},
                              {"min_p", min_p, n, 0},
                              {"repetition", repetition, n, 1},
                              {"presence", presence, n, 0},
                              {"frequency", frequency, n, 0},
                              {"edited", edited, edits, -1},
                              {"count", edited ? count : none, edits, -1},
                              {"bias", edited ? bias : none, edits, 0},
                              mask};
    const SampleEdits of_rows(inputs, edits);
    const int64_t least = (1 << 14) / std::max<int64_t>(1, logits.size(1)) + 1;
    ParallelFor(n, least, [&](int64_t begin, int64_t end) {
      SampleRows rows(kTable, inputs, of_rows);
      for (int64_t row = begin; row < end; ++row) {
        float* scored_as = logprob.data<float>() + row * logprob.stride(0);
        *scored_as = 0;
        token.data<int64_t>()[row * token.stride(0)] = rows.Run(row, scored ? scored_as : nullptr);
      }
    });
  }
};

}  // namespace openautoglm::kernels

#endif  // OPENAUTOGLM_KERNELS_SAMPLE_KERNEL_H_
