// Reads the text a signature travels as.
//
//   name kinds inputs pattern... outputs|slow output...
//   pattern := * | [ ...|sN|number ... ]
//   output  := like I | broadcast K I... | shape pattern, then: as I | dtype CODE BITS

#include <sstream>

#include "cell.h"

namespace openautoglm {

namespace {

[[noreturn]] void Refuse(const std::string& what) {
  TVM_FFI_THROW(ValueError) << "the signature cannot be read: " << what;
  throw;  // not reached
}

template <typename T>
T Read(std::istringstream* in, const char* what) {
  T value;
  if (!(*in >> value)) Refuse(what);
  return value;
}

Dim ReadDim(const std::string& token) {
  Dim dim;
  std::istringstream number(token[0] == 's' ? token.substr(1) : token);
  if (token[0] == 's') {
    if (!(number >> dim.symbol) || dim.symbol < 0 || dim.symbol >= kMaxSymbols) Refuse(token);
  } else if (!(number >> dim.size)) {
    Refuse(token);
  }
  return dim;
}

Pattern ReadPattern(std::istringstream* in) {
  Pattern pattern;
  std::string token = Read<std::string>(in, "pattern");
  if (token == "*") return pattern;
  if (token != "[") Refuse(token);
  pattern.any = false;
  while ((token = Read<std::string>(in, "dimension")) != "]") {
    if (token == "...") {
      pattern.leading = true;
    } else {
      pattern.dims.push_back(ReadDim(token));
    }
  }
  return pattern;
}

int ReadInput(std::istringstream* in, const Signature& signature) {
  const int input = Read<int>(in, "input number");
  if (input < 0 || input >= signature.inputs) Refuse("input number");
  return input;
}

OutputRule ReadOutput(std::istringstream* in, const Signature& signature) {
  OutputRule output;
  const std::string rule = Read<std::string>(in, "output rule");
  if (rule == "like") {
    output.like = ReadInput(in, signature);
  } else if (rule == "broadcast") {
    output.rule = Rule::kBroadcast;
    const int count = Read<int>(in, "count");
    for (int i = 0; i < count; ++i) output.inputs.push_back(ReadInput(in, signature));
  } else if (rule == "shape") {
    output.rule = Rule::kShape;
    output.pattern = ReadPattern(in);
  } else {
    Refuse(rule);
  }
  const std::string dtype = Read<std::string>(in, "output dtype");
  if (dtype == "as") {
    output.dtype_input = ReadInput(in, signature);
  } else if (dtype == "dtype") {
    output.dtype_input = -1;
    output.dtype.code = static_cast<uint8_t>(Read<int>(in, "dtype code"));
    output.dtype.bits = static_cast<uint8_t>(Read<int>(in, "dtype bits"));
    output.dtype.lanes = 1;
  } else {
    Refuse(dtype);
  }
  return output;
}

}  // namespace

Signature ParseSignature(const std::string& text) {
  std::istringstream in(text);
  Signature signature;
  signature.name = Read<std::string>(&in, "name");
  signature.kinds = Read<std::string>(&in, "kinds");
  if (signature.kinds == "-") signature.kinds.clear();
  signature.inputs = Read<int>(&in, "input count");
  if (signature.inputs < 0 || signature.inputs > static_cast<int>(signature.kinds.size())) Refuse("input count");
  for (int i = 0; i < signature.inputs; ++i) signature.patterns.push_back(ReadPattern(&in));
  signature.output_count = Read<int>(&in, "output count");
  const std::string how = Read<std::string>(&in, "fast or slow");
  signature.always_slow = how == "slow" || signature.inputs > kMaxInputs || signature.output_count > kMaxOutputs ||
                          signature.kinds.size() + signature.output_count > kMaxArguments;
  if (signature.always_slow) return signature;
  for (int i = 0; i < signature.output_count; ++i) signature.outputs.push_back(ReadOutput(&in, signature));
  return signature;
}

}  // namespace openautoglm
