#include "trainer/safetensors.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "base/assert.h"
#include "base/json.h"

namespace strata::trainer {
namespace {

constexpr std::size_t kLengthBytes = 8;
constexpr std::size_t kHeaderAlignment = 8;

// Bytes of one element, 0 for a type that we do not know.
std::uint64_t width_of(std::string_view dtype) {
  if (dtype == "F64" || dtype == "I64") return 8;
  if (dtype == "F32" || dtype == "I32") return 4;
  if (dtype == "F16" || dtype == "BF16" || dtype == "I16") return 2;
  if (dtype == "I8" || dtype == "U8" || dtype == "BOOL") return 1;
  return 0;
}

Result<std::vector<std::int64_t>> read_whole_numbers(const Value* value, std::string_view what) {
  const Array* array = value == nullptr ? nullptr : value->if_array();
  if (array == nullptr) return fail(ErrorCode::kDamaged, "{} is no list", what);
  std::vector<std::int64_t> numbers;
  for (const Value& item : *array) {
    const auto number = item.if_number() == nullptr ? std::nullopt : item.if_number()->to_integer();
    if (!number || *number < 0)
      return fail(ErrorCode::kDamaged, "{} holds something else than whole numbers", what);
    numbers.push_back(*number);
  }
  return numbers;
}

Result<RawTensor> read_entry(const std::string& name, const Value& entry, std::string_view data) {
  const Value* dtype = entry.find("dtype");
  if (dtype == nullptr || dtype->if_string() == nullptr)
    return fail(ErrorCode::kDamaged, "tensor {}: no dtype", name);
  RawTensor tensor;
  tensor.dtype = *dtype->if_string();
  const std::uint64_t width = width_of(tensor.dtype);
  if (width == 0)
    return fail(ErrorCode::kUnsupported, "tensor {}: dtype {} is not supported", name,
                tensor.dtype);
  STRATA_TRY(tensor.shape,
             read_whole_numbers(entry.find("shape"), fmt::format("tensor {}: shape", name)));
  if (tensor.shape.size() > kSafetensorsDimensionsMax) {
    return fail(ErrorCode::kTooLarge, "tensor {}: {} dimensions, at most {}", name,
                tensor.shape.size(), kSafetensorsDimensionsMax);
  }
  std::uint64_t size = width;
  for (const std::int64_t extent : tensor.shape) {
    const auto e = static_cast<std::uint64_t>(extent);
    if (e != 0 && size > std::numeric_limits<std::uint64_t>::max() / e) {
      return fail(ErrorCode::kDamaged, "tensor {}: its shape overflows", name);
    }
    size *= e;
  }
  STRATA_TRY(const auto offsets, read_whole_numbers(entry.find("data_offsets"),
                                                    fmt::format("tensor {}: data_offsets", name)));
  if (offsets.size() != 2 || offsets[0] > offsets[1] ||
      static_cast<std::uint64_t>(offsets[1]) > data.size()) {
    return fail(ErrorCode::kDamaged, "tensor {}: data_offsets lie outside of the {} data bytes",
                name, data.size());
  }
  const auto begin = static_cast<std::size_t>(offsets[0]);
  const auto end = static_cast<std::size_t>(offsets[1]);
  if (end - begin != size) {
    return fail(ErrorCode::kDamaged, "tensor {}: {} bytes for a shape that needs {}", name,
                end - begin, size);
  }
  tensor.bytes = data.substr(begin, end - begin);
  // Another byte in a bool is undefined behaviour for whoever reads it.
  const bool torn = tensor.dtype == "BOOL" && std::ranges::any_of(tensor.bytes, [](char byte) {
                      return byte != 0 && byte != 1;
                    });
  if (torn) return fail(ErrorCode::kDamaged, "tensor {}: a BOOL that is neither 0 nor 1", name);
  return tensor;
}

// Every data byte belongs to one tensor: else a small file could ask for any amount of memory, many
// tensors over the same bytes, or carry what nobody sees.
Status check_cover(const RawTensors& tensors, std::string_view data) {
  std::vector<std::pair<std::string_view, const std::string*>> pieces;
  for (const auto& [name, tensor] : tensors) pieces.emplace_back(tensor.bytes, &name);
  std::ranges::sort(pieces, {}, [](const auto& piece) {
    return std::pair(piece.first.data(), piece.first.size());
  });
  const char* reached = data.data();
  for (const auto& [bytes, name] : pieces) {
    if (bytes.data() != reached) {
      return fail(ErrorCode::kDamaged, "tensor {}: its bytes {}", *name,
                  bytes.data() < reached ? "are another one's too" : "follow a gap");
    }
    reached += bytes.size();
  }
  const auto covered = static_cast<std::size_t>(reached - data.data());
  if (covered != data.size()) {
    return fail(ErrorCode::kDamaged, "safetensors: {} bytes after the last tensor",
                data.size() - covered);
  }
  return {};
}

}  // namespace

Result<RawTensors> parse_safetensors(std::string_view file,
                                     std::map<std::string, std::string>* metadata) {
  if (file.size() < kLengthBytes)
    return fail(ErrorCode::kDamaged, "safetensors: {} bytes are too few", file.size());
  std::uint64_t length = 0;
  for (std::size_t i = 0; i < kLengthBytes; ++i) {
    length |= static_cast<std::uint64_t>(static_cast<unsigned char>(file[i])) << (8 * i);
  }
  if (length > kSafetensorsHeaderMax)
    return fail(ErrorCode::kTooLarge, "safetensors: a header of {} bytes", length);
  if (length > file.size() - kLengthBytes) {
    return fail(ErrorCode::kDamaged, "safetensors: the header of {} bytes is cut off", length);
  }
  auto header = parse_json(file.substr(kLengthBytes, length));
  if (!header)
    return tl::unexpected(
        Error{ErrorCode::kDamaged, header.error().message}.while_doing("safetensors header"));
  if (header->if_object() == nullptr)
    return fail(ErrorCode::kDamaged, "safetensors: the header is no map");
  const std::string_view data = file.substr(kLengthBytes + length);
  RawTensors tensors;
  for (const auto& [name, entry] : *header->if_object()) {
    if (name == "__metadata__") {
      if (entry.if_object() == nullptr)
        return fail(ErrorCode::kDamaged, "safetensors: __metadata__ is no map");
      for (const auto& [key, item] : *entry.if_object()) {
        if (item.if_string() == nullptr)
          return fail(ErrorCode::kDamaged, "safetensors: __metadata__.{} is no string", key);
        if (metadata != nullptr) metadata->emplace(key, *item.if_string());
      }
      continue;
    }
    STRATA_TRY(RawTensor tensor, read_entry(name, entry, data));
    tensors.emplace(name, std::move(tensor));
  }
  STRATA_CHECK_OK(check_cover(tensors, data));
  return tensors;
}

std::string format_safetensors(const RawTensors& tensors,
                               const std::map<std::string, std::string>& metadata) {
  Object header;
  if (!metadata.empty()) {
    Object entries;
    for (const auto& [key, text] : metadata) entries.emplace(key, text);
    header.emplace("__metadata__", std::move(entries));
  }
  std::uint64_t offset = 0;
  for (const auto& [name, tensor] : tensors) {
    STRATA_ASSERT(width_of(tensor.dtype) != 0);
    Array shape;
    for (const std::int64_t extent : tensor.shape) shape.emplace_back(extent);
    const std::uint64_t end = offset + tensor.bytes.size();
    header.emplace(name, Object{{"dtype", tensor.dtype},
                                {"shape", std::move(shape)},
                                {"data_offsets", Array{Value(offset), Value(end)}}});
    offset = end;
  }
  std::string text = to_canonical_json(header);
  text.resize((text.size() + kHeaderAlignment - 1) / kHeaderAlignment * kHeaderAlignment, ' ');
  std::string file;
  file.reserve(kLengthBytes + text.size() + offset);
  for (std::size_t i = 0; i < kLengthBytes; ++i)
    file += static_cast<char>((text.size() >> (8 * i)) & 0xFF);
  file += text;
  for (const auto& [name, tensor] : tensors) file += tensor.bytes;
  return file;
}

}  // namespace strata::trainer
