// Ids of messages: a text that no other process has, and a number that counts.
#ifndef OPENAUTOGLM_BUS_IDS_H_
#define OPENAUTOGLM_BUS_IDS_H_
#include <cstdint>
#include <cstring>

namespace openautoglm::bus {

// Plain memory, zero at first; guarded by the GIL of whoever asks.
class Ids {
 public:
  static constexpr size_t kMaxPrefix = 32;
  static constexpr size_t kMaxDigits = 16;

  // Begins anew with a text of at most `kMaxPrefix` bytes.
  void Begin(const char* prefix, size_t size) {
    std::memcpy(text_, prefix, size);
    text_[size] = '-';
    prefix_ = size + 1;
    next_ = 0;
  }

  // The next id; good until the one after it.
  const char* Next(size_t* size) {
    char digits[kMaxDigits];
    size_t count = 0;
    for (uint64_t left = next_++; count == 0 || left != 0; left >>= 4) digits[count++] = "0123456789abcdef"[left & 15];
    *size = prefix_ + count;
    for (size_t i = 0; i < count; ++i) text_[prefix_ + i] = digits[count - 1 - i];
    return text_;
  }

 private:
  char text_[kMaxPrefix + 1 + kMaxDigits];
  size_t prefix_;
  uint64_t next_;
};

}  // namespace openautoglm::bus

#endif  // OPENAUTOGLM_BUS_IDS_H_
