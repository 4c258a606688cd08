// Reads the fields of one map of a spec with types, and reports the first thing that is wrong with
// its full path. Usage: ask for every field, then return fields.finish(config). A key that nobody
// asked for is an error.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/value.h"

namespace strata {

class Fields {
 public:
  // `value` must outlive it; `where` is what messages begin with, for example "spec.json: model".
  Fields(const Value& value, std::string where);

  // Without a fallback the field is required. The value returned after an error is the fallback or
  // a zero.
  std::int64_t integer(std::string_view key, std::optional<std::int64_t> fallback = {});
  double number(std::string_view key, std::optional<double> fallback = {});
  bool flag(std::string_view key, std::optional<bool> fallback = {});
  std::string text(std::string_view key, std::optional<std::string> fallback = {});
  std::vector<std::int64_t> integers(std::string_view key,
                                     std::optional<std::vector<std::int64_t>> fallback = {});
  std::vector<std::string> texts(std::string_view key,
                                 std::optional<std::vector<std::string>> fallback = {});
  // One of `names`; the message lists them.
  std::string choice(std::string_view key, const std::vector<std::string>& names,
                     std::optional<std::string> fallback = {});
  // A null pointer when the field is absent or null.
  const Value* child(std::string_view key);
  const Value& required_child(std::string_view key);

  // For the caller's own checks: fields.require(dim % heads == 0, "dim", "must be a multiple of
  // heads").
  void require(bool holds, std::string_view key, std::string_view expectation);
  [[nodiscard]] const std::string& where() const { return where_; }
  // The first error, or the first key that was never asked for.
  Status finish();

 private:
  const Value* get(std::string_view key, bool required);
  void wrong(std::string_view key, std::string_view expectation);

  const Value& value_;
  std::string where_;
  std::set<std::string, std::less<>> asked_;
  std::optional<Error> error_;
};

}  // namespace strata
