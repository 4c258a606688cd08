#include "trainer/stage_spec.h"

#include "base/fields.h"
#include "base/files.h"
#include "base/json.h"

namespace strata::trainer {
namespace {

constexpr std::int64_t kContract = 1;
constexpr int kRanksMax = 4096;
constexpr int kThreadsMax = 1024;

Result<std::map<std::string, std::filesystem::path, std::less<>>> read_paths(
    const Value* value, const std::string& where) {
  std::map<std::string, std::filesystem::path, std::less<>> paths;
  if (value == nullptr) return paths;
  if (value->if_object() == nullptr) {
    return fail(ErrorCode::kInvalid, "{}: expected a map of names to paths, found a {}", where,
                value->kind());
  }
  for (const auto& [name, item] : *value->if_object()) {
    if (item.is_null()) continue;  // an optional input that does not apply
    if (item.if_string() == nullptr)
      return fail(ErrorCode::kInvalid, "{}.{}: expected a path", where, name);
    paths.emplace(name, *item.if_string());
  }
  return paths;
}

Result<std::filesystem::path> find(
    const std::map<std::string, std::filesystem::path, std::less<>>& paths, std::string_view kind,
    std::string_view name) {
  const auto it = paths.find(name);
  if (it == paths.end())
    return fail(ErrorCode::kInvalid, "the spec names no {} \"{}\"", kind, name);
  return it->second;
}

}  // namespace

Result<std::filesystem::path> StageSpec::input(std::string_view name) const {
  return find(inputs, "input", name);
}
Result<std::filesystem::path> StageSpec::output(std::string_view name) const {
  return find(outputs, "output", name);
}

Result<StageSpec> read_stage_spec(const std::filesystem::path& path) {
  STRATA_TRY(const std::string text, read_file(path));
  auto parsed = parse_json(text);
  if (!parsed) return tl::unexpected(parsed.error().while_doing(path.string()));
  Fields fields(*parsed, path.string());
  StageSpec spec;
  const std::int64_t contract = fields.integer("contract");
  fields.require(contract == kContract, "contract",
                 "this program keeps version 1 of the stage contract");
  spec.task = fields.text("task", "");
  spec.stage = fields.text("stage", "");
  spec.attempt = fields.integer("attempt", 0);
  if (const Value* parameters = fields.child("parameters")) spec.parameters = *parameters;
  if (fields.child("seed") != nullptr)
    spec.seed = static_cast<std::uint64_t>(fields.integer("seed"));
  const Value* inputs = fields.child("inputs");
  const Value* outputs = fields.child("outputs");
  spec.models = fields.text("models", "");
  const std::string resume = fields.text("resume", "");
  if (!resume.empty()) spec.resume = resume;
  fields.integer("slots", 0);
  const std::int64_t ranks = fields.integer("ranks", 1);
  fields.require(ranks >= 1 && ranks <= kRanksMax, "ranks",
                 fmt::format("expected 1 to {}", kRanksMax));
  const std::int64_t threads = fields.integer("threads", 1);
  fields.require(threads >= 1 && threads <= kThreadsMax, "threads",
                 fmt::format("expected 1 to {}", kThreadsMax));
  STRATA_CHECK_OK(fields.finish());
  spec.ranks = static_cast<int>(ranks);
  spec.threads = static_cast<int>(threads);
  STRATA_TRY(spec.inputs, read_paths(inputs, path.string() + ": inputs"));
  STRATA_TRY(spec.outputs, read_paths(outputs, path.string() + ": outputs"));
  return spec;
}

int exit_code_of(const Error& error) {
  switch (error.code) {
    case ErrorCode::kInvalid:
    case ErrorCode::kNotFound:
    case ErrorCode::kUnsupported:
    case ErrorCode::kDamaged:
    case ErrorCode::kTooLarge: return exit_code::kInvalid;
    case ErrorCode::kConflict:
    case ErrorCode::kUnavailable:
    case ErrorCode::kInternal: return exit_code::kFailed;
  }
  return exit_code::kFailed;
}

}  // namespace strata::trainer
