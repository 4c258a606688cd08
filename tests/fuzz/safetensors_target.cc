// Files of tensors, from strangers. An input is read as it is, and once more as a header up to its
// last brace (and the spaces after it) and the data behind it: with the length that belongs to it,
// a changed header is read further than to its first eight bytes.
#include "base/assert.h"
#include "tests/fuzz/targets.h"
#include "trainer/safetensors.h"

namespace strata::fuzz {
namespace {

using trainer::RawTensors;

std::string with_length(std::string_view rest) {
  const std::size_t brace = rest.rfind('}');
  std::size_t length = brace == std::string_view::npos ? rest.size() : brace + 1;
  while (length < rest.size() && rest[length] == ' ') ++length;  // the padding
  std::string file;
  for (int i = 0; i < 8; ++i, length >>= 8U) file += static_cast<char>(length & 0xFFU);
  return file += rest;
}

// Without what is the input's own: names, and what JSON cannot be (which has a target itself).
std::string refusal(const Error& error) {
  const std::string& said = error.message;
  if (said.starts_with("safetensors header: ")) return "no JSON";
  if (said.starts_with("safetensors: __metadata__")) return "no metadata";
  if (!said.starts_with("tensor ")) return said;
  return error.code == ErrorCode::kUnsupported ? "a type" : said.substr(said.rfind(": ") + 2);
}

// What is read lies in the file, and is the same after being written and read again.
std::string read(std::string_view file) {
  std::map<std::string, std::string> metadata;
  const auto tensors = trainer::parse_safetensors(file, &metadata);
  if (!tensors) return refusal(tensors.error());
  std::size_t bytes = 0;
  for (const auto& [name, tensor] : *tensors) {
    STRATA_ASSERT(tensor.bytes.data() >= file.data());
    STRATA_ASSERT(tensor.bytes.data() + tensor.bytes.size() <= file.data() + file.size());
    bytes += tensor.bytes.size();
  }
  STRATA_ASSERT(bytes <= file.size());  // no byte is in two tensors
  const std::string written = trainer::format_safetensors(*tensors, metadata);
  std::map<std::string, std::string> kept;
  const auto back = trainer::parse_safetensors(written, &kept);
  STRATA_ASSERT(back.has_value());
  STRATA_ASSERT(kept == metadata);
  STRATA_ASSERT(back->size() == tensors->size());
  for (const auto& [name, tensor] : *tensors) {
    const auto it = back->find(name);
    STRATA_ASSERT(it != back->end());
    STRATA_ASSERT(it->second.dtype == tensor.dtype && it->second.shape == tensor.shape);
    STRATA_ASSERT(it->second.bytes == tensor.bytes);
  }
  return fmt::format("{} tensors", tensors->size());
}

}  // namespace

std::string run_safetensors(std::string_view input) {
  return read(input) + " / " +
         read(with_length(input.substr(std::min<std::size_t>(8, input.size()))));
}

}  // namespace strata::fuzz
