// Reads a sweep file and the pipeline it names, and checks everything that can be checked without
// expanding.
#include <algorithm>
#include <array>
#include <set>

#include "schema/block_reader.h"
#include "schema/identity_reader.h"
#include "schema/judging_reader.h"

namespace strata {
namespace {

constexpr std::int64_t kPriorityMax = 1'000'000;
constexpr std::int64_t kWeightMax = 1'000;
constexpr std::int64_t kSweepSlotsMax = 1'000'000;

const std::vector<std::string> kSweepKeys{"sweep",
                                          "description",
                                          "pipeline",
                                          "models",
                                          "base",
                                          "neutral",
                                          "open",
                                          "teachers",
                                          "judges",
                                          "axes",
                                          "zip",
                                          "ablation",
                                          "cases",
                                          "blocks",
                                          "constraints",
                                          "seeds",
                                          "baseline",
                                          "stages",
                                          "table",
                                          "expected",
                                          "priority",
                                          "scheduling",
                                          "allow_judge_as_teacher",
                                          "identity",
                                          "code",
                                          "search"};
const std::vector<std::string> kPipelineKeys{"pipeline", "description", "models",   "base",
                                             "neutral",  "open",        "teachers", "judges",
                                             "stages",   "table",       "identity", "code"};

class SweepReader {
 public:
  explicit SweepReader(const FileReader& read) : reading_(read) {}

  Result<SweepDefinition> run(const std::string& path) {
    STRATA_TRY(const YamlNode sweep, reading_.open(path));
    STRATA_CHECK_OK(reading_.only_keys(sweep, kSweepKeys));
    STRATA_CHECK_OK(name(sweep));
    YamlNode pipeline;
    if (const YamlNode* file = sweep.find("pipeline")) {
      STRATA_TRY(const std::string name, reading_.text(*file, "pipeline"));
      auto opened = reading_.open(reading_.beside(file->at, name));
      if (!opened && opened.error().code == ErrorCode::kNotFound)
        return reading_.wrong(file->at, opened.error().message);
      if (!opened) return tl::unexpected(opened.error());
      pipeline = std::move(*opened);
      has_pipeline_ = true;
      STRATA_CHECK_OK(reading_.only_keys(pipeline, kPipelineKeys));
    }
    const YamlNode* models =
        sweep.find("models") != nullptr ? sweep.find("models") : pipeline.find("models");
    if (models != nullptr) STRATA_CHECK_OK(reading_.use_catalogue(*models));

    const std::array<const YamlNode*, 2> files{&pipeline, &sweep};
    std::vector<StageNodes> stages;
    for (const YamlNode* file : files) {
      if (const YamlNode* node = file->find("stages"))
        STRATA_CHECK_OK(lay_stages(reading_, *node, stages));
      STRATA_CHECK_OK(names(*file, "open", open_));
      STRATA_CHECK_OK(names(*file, "teachers", teachers_));
      STRATA_CHECK_OK(names(*file, "judges", judges_));
    }
    if (const YamlNode* node = pipeline.find("base")) STRATA_CHECK_OK(lay_base(*node));
    pipeline_base_ = out_.base;
    if (const YamlNode* node = sweep.find("stages")) own_reads(*node);
    if (const YamlNode* node = sweep.find("base")) {
      in_sweep_base_ = has_pipeline_;
      STRATA_CHECK_OK(lay_base(*node));
    }
    if (out_.base.is_null()) out_.base = Object{};
    in_sweep_base_ = has_pipeline_;
    STRATA_CHECK_OK(baseline(sweep));
    STRATA_CHECK_OK(blocks_.read(sweep, baseline_));

    const Expression::Known known = [this](std::string_view parameter) {
      return is_known(parameter);
    };
    STRATA_TRY(out_.stages, read_stages(reading_, stages, known));
    if (out_.stages.empty())
      return reading_.wrong(sweep.at, "the sweep has no stages: name a pipeline, or write stages");
    STRATA_CHECK_OK(neutral(pipeline));
    STRATA_CHECK_OK(neutral(sweep));
    for (const YamlNode* file : files) STRATA_CHECK_OK(code_and_identity(*file, known));
    STRATA_CHECK_OK(rest(sweep, known));
    for (const YamlNode* file : files) {
      if (const YamlNode* node = file->find("table")) STRATA_CHECK_OK(table(*node));
    }
    STRATA_CHECK_OK(everything_is_read());
    STRATA_CHECK_OK(judges_are_no_teachers(sweep));
    return std::move(out_);
  }

 private:
  Status name(const YamlNode& sweep) {
    const YamlNode* node = sweep.find("sweep");
    if (node == nullptr)
      return reading_.wrong(sweep.at, "the key sweep is missing: it names the sweep");
    STRATA_TRY(out_.name, reading_.text(*node, "sweep"));
    if (out_.name.empty() || out_.name.size() > kSweepNameBytesMax || out_.name.front() == '-' ||
        out_.name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-") != std::string::npos) {
      return reading_.wrong(
          node->at,
          fmt::format(
              "\"{}\" is no name of a sweep: expected small letters, digits and -, at most {}",
              out_.name, kSweepNameBytesMax));
    }
    if (const YamlNode* description = sweep.find("description")) {
      STRATA_TRY(out_.description, reading_.text(*description, "description"));
    }
    return {};
  }

  Status names(const YamlNode& file, std::string_view key, std::vector<std::string>& to) {
    const YamlNode* node = file.find(key);
    if (node == nullptr) return {};
    STRATA_TRY(const auto more, reading_.texts(*node, key));
    to.insert(to.end(), more.begin(), more.end());
    return {};
  }

  // What the sweep's own stages read may be new.
  void own_reads(const YamlNode& stages) {
    for (const YamlEntry& stage : stages.entries) {
      const YamlNode* reads = stage.value.find("reads");
      if (reads == nullptr) continue;
      for (const YamlNode& item : reads->items) {
        if (item.kind == YamlKind::kScalar && item.scalar.if_string() != nullptr)
          own_reads_.push_back(*item.scalar.if_string());
      }
    }
  }

  Status lay_base(const YamlNode& node) {
    STRATA_CHECK_OK(reading_.must_be(node, YamlKind::kMap, "base"));
    Places here;
    return lay_over(node, "", here);
  }

  // Maps are merged, everything else replaces what was there.
  Status lay_over(const YamlNode& map, const std::string& prefix, Places& here) {
    for (const YamlEntry& entry : map.entries) {
      STRATA_CHECK_OK(reading_.parameter_name(entry.at, entry.key));
      const std::string path = prefix + entry.key;
      if (entry.value.kind == YamlKind::kMap && !entry.value.entries.empty()) {
        const Value* before = out_.base.find(path);
        if (before != nullptr && before->if_object() == nullptr && !before->is_null()) {
          return reading_.wrong(entry.at,
                                fmt::format("{} is a {}, not a map", path, before->kind()));
        }
        STRATA_CHECK_OK(lay_over(entry.value, path + ".", here));
        continue;
      }
      const auto clash =
          std::ranges::find_if(here, [&](const auto& one) { return related(one.first, path); });
      if (clash != here.end()) {
        return reading_.wrong(
            entry.at, fmt::format("{} is set for the second time; the first is at {}:{}", path,
                                  clash->second.line, clash->second.column));
      }
      const bool model = entry.value.kind == YamlKind::kModel;
      STRATA_CHECK_OK(may_set(entry.at, path, model || entry.value.kind == YamlKind::kMap));
      reading_.forget_models(path);
      STRATA_TRY(const Value value, reading_.value(entry.value, path));
      if (auto status = lay_over_value(out_.base, path, value); !status)
        return reading_.wrong(entry.at, status.error().message);
      if (model) {  // its other fields may follow: teacher.layer
        here.emplace(path + ".name", entry.at);
        here.emplace(path + ".identity", entry.at);
      } else {
        here.emplace(path, entry.at);
      }
      places_.insert_or_assign(path, entry.at);
    }
    return {};
  }

  // Against typing errors: what a pipeline does not have, a sweep does not set.
  Status may_set(const YamlPosition& at, const std::string& path, bool to_map) {
    if (!has_pipeline_ || !in_sweep_base_) return {};
    if (const Value* before = pipeline_base_.find(path)) {
      if (before->if_object() == nullptr || to_map) return {};
      return reading_.wrong(at,
                            fmt::format("{} is a map in the pipeline: set what is in it", path));
    }
    const auto covers = [&](const std::string& prefix) { return is_at_or_below(path, prefix); };
    if (std::ranges::any_of(open_, covers) || std::ranges::any_of(own_reads_, covers)) return {};
    for (std::size_t dot = path.rfind('.'); dot != std::string::npos && dot > 0;
         dot = path.rfind('.', dot - 1)) {
      const Value* above = pipeline_base_.find(std::string_view(path).substr(0, dot));
      if (above != nullptr && above->is_null()) return {};  // the pipeline leaves its shape open
    }
    std::vector<std::string> all;
    list_leaves(pipeline_base_, "", all);
    return reading_.wrong(
        at, fmt::format("the pipeline has no parameter {}{}", path, suggestion(path, all)));
  }

  static void list_leaves(const Value& value, const std::string& path,
                          std::vector<std::string>& to) {
    const Object* object = value.if_object();
    if (object == nullptr) {
      to.push_back(path);
      return;
    }
    for (const auto& [key, inner] : *object)
      list_leaves(inner, path.empty() ? key : path + "." + key, to);
  }

  [[nodiscard]] bool is_known(std::string_view parameter) const {
    if (out_.base.find(parameter) != nullptr) return true;
    return std::ranges::any_of(blocks_.swept(),
                               [&](const auto& entry) { return related(entry.first, parameter); });
  }

  // What the other cells are compared with, and what an ablation starts from.
  Status baseline(const YamlNode& sweep) {
    const YamlNode* node = sweep.find("baseline");
    if (node == nullptr) return {};
    STRATA_CHECK_OK(reading_.must_be(*node, YamlKind::kMap, "baseline"));
    for (const YamlEntry& entry : node->entries) {
      STRATA_TRY(Value value, reading_.value(entry.value, entry.key));
      out_.baseline.emplace(entry.key, value);
      baseline_.emplace_back(entry.key, std::move(value));
    }
    return {};
  }

  Status neutral(const YamlNode& file) {
    const YamlNode* node = file.find("neutral");
    if (node == nullptr) return {};
    STRATA_CHECK_OK(reading_.must_be(*node, YamlKind::kMap, "neutral"));
    for (const YamlEntry& entry : node->entries) {
      const auto covers = [&](const std::string& prefix) {
        return is_at_or_below(entry.key, prefix);
      };
      if (!is_known(entry.key) && std::ranges::none_of(open_, covers)) {
        return reading_.wrong(entry.at, fmt::format("there is no parameter {}", entry.key));
      }
      STRATA_TRY(Value value, reading_.value(entry.value, entry.key));
      out_.neutral.insert_or_assign(entry.key, std::move(value));
    }
    return {};
  }

  // The list `code` of a file is of the commands that stand in files of its folder.
  Status code_and_identity(const YamlNode& file, const Expression::Known& known) {
    if (const YamlNode* node = file.find("code")) {
      STRATA_TRY(const std::vector<std::string> code, read_code(reading_, *node));
      bool used = false;
      for (StageDefinition& stage : out_.stages) {
        if (stage.folder != reading_.folder_of(node->at)) continue;
        used = true;
        const bool own = !stage.code.empty() && !code_of_file_.contains(stage.name);
        if (own) continue;
        code_of_file_.insert(stage.name);
        stage.code.insert(stage.code.end(), code.begin(), code.end());
      }
      if (!used)
        return reading_.wrong(node->at, "no command of this file uses {folder}: it has no code");
    }
    const YamlNode* node = file.find("identity");
    if (node == nullptr) return {};
    std::vector<std::string> all;
    list_leaves(out_.base, "", all);
    STRATA_CHECK_OK(read_identity(reading_, *node, known, all, out_.identity));
    return check_identity(reading_, *node, out_.stages);
  }

  Status rest(const YamlNode& sweep, const Expression::Known& known) {
    STRATA_TRY(out_.blocks, blocks_.finish(out_.stages, known, used_));
    if (const YamlNode* node = sweep.find("constraints")) {
      STRATA_TRY(out_.constraints, read_constraints(reading_, *node, known, used_));
    }
    const bool seeded = std::ranges::any_of(out_.stages, &StageDefinition::seeded);
    out_.seeds = {seeded ? 1U : 0U};
    if (const YamlNode* node = sweep.find("seeds")) {
      if (!seeded)
        return reading_.wrong(node->at, "no stage is seeded: seeds would change nothing");
      STRATA_TRY(out_.seeds, reading_.seeds(*node));
    }
    if (const YamlNode* node = sweep.find("baseline")) {
      for (const YamlEntry& entry : node->entries) {
        if (!is_known(entry.key))
          return reading_.wrong(entry.at, fmt::format("there is no parameter {}", entry.key));
      }
    }
    out_.baseline_implied = baseline_.empty();
    out_.baseline.insert(blocks_.own_baseline().begin(), blocks_.own_baseline().end());
    if (const YamlNode* node = sweep.find("expected")) STRATA_CHECK_OK(expected(*node));
    if (const YamlNode* node = sweep.find("priority")) {
      STRATA_TRY(out_.priority, reading_.integer(*node, "priority", -kPriorityMax, kPriorityMax));
    }
    if (const YamlNode* node = sweep.find("scheduling")) STRATA_CHECK_OK(scheduling(*node));
    if (const YamlNode* node = sweep.find("search")) {
      STRATA_TRY(out_.scheduling.search, read_judging_search(reading_, *node, out_.stages));
    }
    return {};
  }

  Status scheduling(const YamlNode& node) {
    STRATA_CHECK_OK(reading_.must_be(node, YamlKind::kMap, "scheduling"));
    STRATA_CHECK_OK(reading_.only_keys(node, {"weight", "slots_max", "preempts"}));
    if (const YamlNode* weight = node.find("weight")) {
      STRATA_TRY(out_.scheduling.weight, reading_.integer(*weight, "weight", 1, kWeightMax));
    }
    if (const YamlNode* slots = node.find("slots_max")) {
      STRATA_TRY(out_.scheduling.slots_max,
                 reading_.integer(*slots, "slots_max", 1, kSweepSlotsMax));
    }
    if (const YamlNode* preempts = node.find("preempts")) {
      STRATA_TRY(out_.scheduling.preempts, reading_.flag(*preempts, "preempts"));
    }
    return {};
  }

  Status expected(const YamlNode& node) {
    STRATA_CHECK_OK(reading_.must_be(node, YamlKind::kMap, "expected"));
    STRATA_CHECK_OK(reading_.only_keys(node, {"source", "cells"}));
    if (const YamlNode* source = node.find("source")) {
      STRATA_TRY(out_.expected_source, reading_.text(*source, "source"));
    }
    const YamlNode* cells = node.find("cells");
    if (cells == nullptr) return reading_.wrong(node.at, "expected needs the key cells");
    STRATA_CHECK_OK(reading_.must_be(*cells, YamlKind::kMap, "cells"));
    for (const YamlEntry& entry : cells->entries) {
      STRATA_CHECK_OK(reading_.must_be(entry.value, YamlKind::kMap,
                                       fmt::format("the numbers of \"{}\"", entry.key)));
      Object numbers;
      for (const YamlEntry& score : entry.value.entries) {
        if (score.value.kind != YamlKind::kScalar || score.value.scalar.if_number() == nullptr) {
          return reading_.wrong(score.value.at, fmt::format("{} must be a number, not a {}",
                                                            score.key, score.value.kind_name()));
        }
        numbers.emplace(score.key, score.value.scalar);
      }
      out_.expected.emplace(entry.key, std::move(numbers));
    }
    return {};
  }

  Status table(const YamlNode& node) {
    STRATA_CHECK_OK(reading_.must_be(node, YamlKind::kMap, "table"));
    STRATA_CHECK_OK(reading_.only_keys(node, {"rows", "scores", "references", "do_not_rank_when"}));
    if (const YamlNode* rows = node.find("rows")) {
      STRATA_TRY(out_.table.rows, reading_.texts(*rows, "rows"));
      for (std::size_t i = 0; i < out_.table.rows.size(); ++i) {
        if (!is_known(out_.table.rows[i]))
          return reading_.wrong(rows->items[i].at,
                                fmt::format("there is no parameter {}", out_.table.rows[i]));
      }
    }
    if (const YamlNode* scores = node.find("scores")) {
      STRATA_TRY(out_.table.scores, reading_.texts(*scores, "scores"));
    }
    if (const YamlNode* references = node.find("references")) {
      STRATA_TRY(out_.table.references, reading_.texts(*references, "references"));
    }
    if (const YamlNode* rule = node.find("do_not_rank_when")) {
      STRATA_TRY(out_.table.do_not_rank_when, reading_.condition(*rule, "do_not_rank_when", {}));
    }
    return {};
  }

  Status everything_is_read() {
    for (const StageDefinition& stage : out_.stages) {
      used_.insert(stage.reads.begin(), stage.reads.end());
      if (stage.when) used_.merge(stage.when->names());
      if (stage.flops) used_.merge(stage.flops->names());
      for (const auto& [name, input] : stage.inputs) {
        if (input.when) used_.merge(Expression(*input.when).names());
      }
    }
    for (const Places* places : {&blocks_.swept(), &std::as_const(places_)}) {
      for (const auto& [name, at] : *places) {
        const auto reads_it = [&, &one = name](const std::string& used) {
          return related(used, one);
        };
        if (std::ranges::any_of(used_, reads_it)) continue;
        return reading_.wrong(at, fmt::format("no stage reads {}: it would change nothing", name));
      }
    }
    return {};
  }

  Status judges_are_no_teachers(const YamlNode& sweep) {
    std::vector<std::string> allowed;
    STRATA_CHECK_OK(names(sweep, "allow_judge_as_teacher", allowed));
    const auto below = [](const std::string& name, const std::vector<std::string>& prefixes) {
      return std::ranges::any_of(
          prefixes, [&](const std::string& prefix) { return is_at_or_below(name, prefix); });
    };
    std::set<std::string> both;
    for (const auto& judge : reading_.model_uses()) {
      if (!below(judge.parameter, judges_)) continue;
      for (const auto& teacher : reading_.model_uses()) {
        if (!below(teacher.parameter, teachers_) || teacher.model.family != judge.model.family)
          continue;
        both.insert(judge.model.family);
        if (std::ranges::find(allowed, judge.model.family) != allowed.end()) continue;
        return reading_.wrong(
            judge.at, fmt::format("the judge {} and the teacher {} ({}) are both {}: a model must "
                                  "not judge what it taught; "
                                  "choose another, or write allow_judge_as_teacher: [{}]",
                                  judge.model.name, teacher.model.name, reading_.place(teacher.at),
                                  judge.model.family, judge.model.family));
      }
    }
    out_.judge_as_teacher.assign(both.begin(), both.end());
    return {};
  }

  Reading reading_;
  SweepDefinition out_{};
  Settings baseline_{};  // as written
  BlockReader blocks_{reading_, out_.base, [this](const YamlPosition& at, const std::string& name) {
                        return may_set(at, name, true);
                      }};
  bool has_pipeline_ = false;
  bool in_sweep_base_ = false;
  Value pipeline_base_{};
  std::vector<std::string> open_{};  // parameters below which a sweep may add names
  std::vector<std::string> own_reads_{};
  std::vector<std::string> teachers_{};
  std::vector<std::string> judges_{};
  Places places_{};  // where base values were set last
  std::set<std::string> used_{};
  std::set<std::string> code_of_file_{};  // stages whose code is the list of a file
};

}  // namespace

Result<SweepDefinition> read_sweep(const std::string& path, const FileReader& read) {
  return SweepReader(read).run(path);
}

}  // namespace strata
