#include "evaluator/score_spec.h"

#include <cmath>

#include "base/fields.h"
#include "base/files.h"
#include "base/json.h"

namespace strata::evaluator {
namespace {

constexpr std::int64_t kContractVersion = 1;
constexpr std::int64_t kThreadsMax = 1024;

std::optional<std::filesystem::path> optional_path(Fields& fields, std::string_view key) {
  const std::string text = fields.text(key, "");
  return text.empty() ? std::nullopt : std::optional<std::filesystem::path>(text);
}

Result<std::optional<JudgeChoice>> parse_judge(Fields& judges, std::string_view role,
                                               const std::string& where) {
  const Value* value = judges.child(role);
  if (value == nullptr) return std::optional<JudgeChoice>();
  Fields fields(*value, fmt::format("{}.judges.{}", where, role));
  JudgeChoice choice{.name = fields.text("name"), .identity = fields.text("identity", "")};
  fields.require(choice.name.find('/') == std::string::npos && !choice.name.starts_with('.'),
                 "name", "must be the name of an archive in the models folder, not a path");
  STRATA_CHECK_OK(fields.finish());
  return std::optional(std::move(choice));
}

Status parse_parameters(const Value& parameters, const std::string& where, ScoreSpec& spec) {
  Fields fields(parameters, where);
  const std::string protocol = fields.text("protocol", "f5");
  spec.sets = fields.texts("sets", std::vector<std::string>{});
  spec.bootstrap.seed = static_cast<std::uint64_t>(fields.integer("seed", 12345));
  const std::int64_t resamples = fields.integer("resamples", 10'000);
  fields.require(resamples >= 1 && resamples <= kResamplesMax, "resamples",
                 fmt::format("must be from 1 to {}", kResamplesMax));
  spec.bootstrap.resamples = static_cast<int>(resamples);
  if (fields.child("target_loss") != nullptr) {
    spec.target_loss = fields.number("target_loss");
    fields.require(*spec.target_loss > 0 && std::isfinite(*spec.target_loss), "target_loss",
                   "must be above 0: a held-out loss");
  }
  const Value none = Object{};
  const Value* list = fields.child("judges");
  Fields judges(list == nullptr ? none : *list, where + ".judges");
  STRATA_TRY(spec.asr, parse_judge(judges, "asr", where));
  STRATA_TRY(spec.speaker, parse_judge(judges, "speaker", where));
  STRATA_TRY(spec.mos, parse_judge(judges, "mos", where));
  STRATA_CHECK_OK(judges.finish());
  STRATA_CHECK_OK(fields.finish());
  auto found = find_protocol(protocol);
  if (!found) return tl::unexpected(found.error().while_doing(where + ".protocol"));
  spec.protocol = *found;
  return {};
}

}  // namespace

Result<ScoreSpec> parse_score_spec(const Value& value, const std::string& where) {
  ScoreSpec spec;
  Fields fields(value, where);
  const std::int64_t contract = fields.integer("contract");
  fields.require(contract == kContractVersion, "contract",
                 fmt::format("this program keeps version {}", kContractVersion));
  for (const char* key : {"task", "stage"}) fields.text(key, "");
  for (const char* key : {"attempt", "seed", "slots", "ranks"}) fields.integer(key, 0);
  const std::int64_t threads = fields.integer("threads", 1);
  fields.require(threads >= 1 && threads <= kThreadsMax, "threads",
                 fmt::format("must be from 1 to {}", kThreadsMax));
  spec.threads = static_cast<int>(threads);
  spec.models = fields.text("models", "");
  spec.resume = optional_path(fields, "resume");
  const Value& inputs = fields.required_child("inputs");
  const Value& outputs = fields.required_child("outputs");
  const Value& parameters = fields.required_child("parameters");
  STRATA_CHECK_OK(fields.finish());

  Fields in(inputs, where + ": inputs");
  spec.audio = in.text("audio");
  spec.corpus = optional_path(in, "corpus");
  spec.validation = optional_path(in, "validation");
  STRATA_CHECK_OK(in.finish());
  Fields out(outputs, where + ": outputs");
  spec.report = out.text("report");
  STRATA_CHECK_OK(out.finish());
  const Object* map = parameters.if_object();
  const bool nested = map != nullptr && map->size() == 1 && map->contains("score");
  STRATA_CHECK_OK(parse_parameters(nested ? map->at("score") : parameters,
                                   where + ": parameters" + (nested ? ".score" : ""), spec));
  if ((spec.asr || spec.speaker || spec.mos) && spec.models.empty()) {
    return fail(ErrorCode::kInvalid,
                "{}: judges are named but \"models\" is missing: the folder of exported archives",
                where);
  }
  return spec;
}

Result<ScoreSpec> read_score_spec(const std::filesystem::path& path) {
  STRATA_TRY(const std::string text, read_file(path));
  auto value = parse_json(text);
  if (!value) return tl::unexpected(value.error().while_doing(path.string()));
  return parse_score_spec(*value, path.filename().string());
}

}  // namespace strata::evaluator
