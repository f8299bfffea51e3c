// How a kernel says no. The error never crosses the ABI as an exception: the exported function
// turns it into text, and Python raises it as OperatorArgumentError or KernelFailedError with the
// problem and what was found instead.
#ifndef OPENAUTOGLM_REFUSAL_H_
#define OPENAUTOGLM_REFUSAL_H_

#include <exception>
#include <sstream>
#include <string>
#include <utility>

namespace openautoglm {

constexpr const char* kArgumentError = "OperatorArgumentError";
constexpr const char* kKernelError = "KernelFailedError";

class Refusal : public std::exception {
 public:
  Refusal(const char* kind, std::string text) : kind_(kind), text_(std::move(text)) {}
  const char* kind() const { return kind_; }
  const char* what() const noexcept override { return text_.c_str(); }

 private:
  const char* kind_;  // a constant
  std::string text_;
};

// Ends the call: an argument is not what it must be. The problem in lower case; `got` is whatever
// can be streamed.
template <typename Got>
[[noreturn, gnu::cold, gnu::noinline]] void Refuse(const std::string& problem, const Got& got) {
  std::ostringstream text;
  text << problem << "\n  got: " << got;
  throw Refusal(kArgumentError, text.str());
}

[[noreturn, gnu::cold, gnu::noinline]] inline void Refuse(const std::string& problem) {
  throw Refusal(kArgumentError, problem);
}

// Ends the call: the arguments are right and the kernel failed.
[[noreturn, gnu::cold, gnu::noinline]] inline void Fail(const std::string& problem) {
  throw Refusal(kKernelError, problem);
}

}  // namespace openautoglm

#endif  // OPENAUTOGLM_REFUSAL_H_
