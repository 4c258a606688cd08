#include "coordinator/core/kept_spec.h"

#include <utility>

#include "base/assert.h"
#include "base/json.h"

namespace strata::coordinator {
namespace {

// Of a text that this file has written.
Value parsed(std::string_view text) {
  auto value = parse_json(text);
  STRATA_ASSERT(value.has_value());
  return std::move(*value);
}

}  // namespace

KeptSpec::KeptSpec(TaskSpec spec, Common& latest)
    : key_(std::exchange(spec.key, {})),
      inputs_(std::exchange(spec.inputs, {})),
      seed_(std::exchange(spec.seed, {})),
      flops_(std::exchange(spec.flops, 0)) {
  text_ = to_canonical_json(std::exchange(spec.parameters, {}));
  const std::vector<std::string> neutral = std::exchange(spec.neutral, {});
  if (!neutral.empty()) text_ += "\n" + to_canonical_json(Array(neutral.begin(), neutral.end()));
  text_.shrink_to_fit();
  inputs_.shrink_to_fit();
  if (latest == nullptr || *latest != spec)
    latest = std::make_shared<const TaskSpec>(std::move(spec));
  common_ = latest;
}

TaskSpec KeptSpec::whole() const {
  TaskSpec spec = *common_;
  spec.key = key_;
  spec.inputs = inputs_;
  spec.seed = seed_;
  spec.flops = flops_;
  const std::size_t end = text_.find('\n');
  spec.parameters = parsed(std::string_view(text_).substr(0, end));
  if (end == std::string::npos) return spec;
  const Value neutral = parsed(std::string_view(text_).substr(end + 1));
  for (const Value& name : *neutral.if_array()) spec.neutral.push_back(*name.if_string());
  return spec;
}

}  // namespace strata::coordinator
