#include "schema/draw.h"

#include <cmath>

#include "base/assert.h"

namespace strata {
namespace {

Value rounded(double value, const AxisRange& range) {
  const double low = range.low.to_double();
  const double high = range.high.to_double();
  auto number = Number::parse(fmt::format("{:.6g}", value));
  STRATA_ASSERT(number.has_value());
  if (number->to_double() < low) return range.low;  // an end with more digits than that
  if (number->to_double() > high) return range.high;
  return *number;
}

}  // namespace

Value draw(const Axis& axis, Random& random) {
  if (!axis.range) return axis.values[random.bounded(axis.values.size())];
  const double low = axis.range->low.to_double();
  const double high = axis.range->high.to_double();
  switch (axis.range->kind) {
    case AxisRange::Kind::kUniform:
      return rounded(low + (high - low) * random.uniform(), *axis.range);
    case AxisRange::Kind::kLogUniform:
      return rounded(std::exp(std::log(low) + (std::log(high) - std::log(low)) * random.uniform()),
                     *axis.range);
    case AxisRange::Kind::kInteger: break;
  }
  const auto first = static_cast<std::uint64_t>(*axis.range->low.to_integer());
  const auto last = static_cast<std::uint64_t>(*axis.range->high.to_integer());
  const std::uint64_t count = last - first + 1;  // 0: all 2^64
  const std::uint64_t offset = count == 0 ? random.next() : random.bounded(count);
  return Value(static_cast<std::int64_t>(first + offset));
}

}  // namespace strata
