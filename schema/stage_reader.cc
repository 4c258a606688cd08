// The stages of a sweep: what they run, read, take and make.
#include <algorithm>
#include <set>

#include "schema/reading.h"

namespace strata {
namespace {

constexpr std::int64_t kRetriesMax = 1000;
constexpr std::int64_t kLeaseSecondsMin = 10;
constexpr std::int64_t kLeaseSecondsMax = 7 * 24 * 3600;
constexpr std::int64_t kGraceSecondsMax = 3600;
constexpr std::size_t kFallbacksMax = 8;

const std::vector<std::string> kStageKeys{
    "program",   "command", "result_version", "reads",     "inputs",        "outputs", "seeded",
    "resumable", "when",    "resources",      "retry",     "lease_seconds", "secrets", "flops",
    "scoring",   "policy",  "grace_seconds",  "fallbacks", "code"};

bool is_plain_name(std::string_view name) {
  return !name.empty() && name.size() <= 64 && name.front() >= 'a' && name.front() <= 'z' &&
         name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_") == std::string_view::npos;
}

std::vector<std::string> split_at_spaces(const std::string& text) {
  std::vector<std::string> words;
  std::size_t at = 0;
  while ((at = text.find_first_not_of(' ', at)) != std::string::npos) {
    const std::size_t end = std::min(text.find(' ', at), text.size());
    words.push_back(text.substr(at, end - at));
    at = end;
  }
  return words;
}

Status read_command(const Reading& reading, const YamlNode& node, StageDefinition& stage) {
  STRATA_CHECK_OK(reading.must_be(node, YamlKind::kList, "command"));
  static constexpr std::string_view kFolder = "{folder}";
  std::vector<std::string> argv;
  std::vector<std::string> written;
  const std::string folder = reading.folder_of(node.at);
  for (const YamlNode& item : node.items) {
    const bool number = item.kind == YamlKind::kScalar && item.scalar.if_number() != nullptr;
    if (number)
      return reading.wrong(item.at, "an entry of command must be a text: quote the number");
    STRATA_TRY(std::string word, reading.text(item, "an entry of command"));
    if (word.find(kCodeToken) != std::string::npos)
      return reading.wrong(item.at, "{code} is written by strata: write {folder}");
    written.push_back(word);
    for (std::size_t at = 0; (at = word.find(kFolder, at)) != std::string::npos;) {
      stage.folder = folder;
      word.replace(at, kFolder.size(), folder);
      at += folder.size();
    }
    argv.push_back(std::move(word));
  }
  if (argv.empty() || argv.front().empty())
    return reading.wrong(node.at, "command must name a program");
  stage.program.argv = std::move(argv);
  if (!stage.folder.empty()) {
    stage.command = std::move(written);
    stage.command_at = reading.place(node.at);
  }
  return {};
}

class StageReader {
 public:
  StageReader(const Reading& reading, const Expression::Known& known)
      : reading_(reading), known_(known) {}

  Result<StageDefinition> read(const StageNodes& nodes) {
    if (!is_plain_name(nodes.name)) {
      return reading_.wrong(
          nodes.at,
          fmt::format("\"{}\" is no name of a stage: expected small letters, digits and _",
                      nodes.name));
    }
    stage_ = {.name = nodes.name};
    map_ = {.kind = YamlKind::kMap, .at = nodes.at, .entries = nodes.fields};
    STRATA_CHECK_OK(reading_.only_keys(map_, kStageKeys));
    STRATA_CHECK_OK(program());
    STRATA_CHECK_OK(reads());
    STRATA_CHECK_OK(inputs());
    STRATA_CHECK_OK(outputs());
    STRATA_CHECK_OK(options());
    STRATA_CHECK_OK(failures());
    return std::move(stage_);
  }

 private:
  Status program() {
    const YamlNode* program = map_.find("program");
    if (program == nullptr)
      return reading_.wrong(map_.at, fmt::format("stage {} has no program", stage_.name));
    STRATA_TRY(stage_.program.name, reading_.text(*program, "program"));
    stage_.program.argv = split_at_spaces(stage_.program.name);
    if (stage_.program.argv.empty())
      return reading_.wrong(program->at, "program must not be empty");
    if (const YamlNode* command = map_.find("command")) {
      STRATA_CHECK_OK(read_command(reading_, *command, stage_));
    }
    if (const YamlNode* code = map_.find("code")) {
      if (stage_.folder.empty()) {
        return reading_.wrong(
            code->at, fmt::format("stage {} has code, but no word of its command is in {{folder}}",
                                  stage_.name));
      }
      STRATA_TRY(stage_.code, read_code(reading_, *code));
    }
    if (const YamlNode* version = map_.find("result_version")) {
      STRATA_TRY(stage_.program.result_version,
                 reading_.integer(*version, "result_version", 1, 1'000'000));
    }
    return {};
  }

  Status reads() {
    const YamlNode* reads = map_.find("reads");
    if (reads == nullptr) return {};
    STRATA_TRY(stage_.reads, reading_.texts(*reads, "reads"));
    for (std::size_t i = 0; i < stage_.reads.size(); ++i) {
      const std::string& name = stage_.reads[i];
      const YamlPosition at = reads->items[i].at;
      if (!known_(name))
        return reading_.wrong(at, fmt::format("stage {} reads {}, but there is no such parameter",
                                              stage_.name, name));
      for (std::size_t j = 0; j < i; ++j) {
        if (related(name, stage_.reads[j]))
          return reading_.wrong(at, fmt::format("{} is in {} already", name, stage_.reads[j]));
      }
    }
    return {};
  }

  Status inputs() {
    const YamlNode* inputs = map_.find("inputs");
    if (inputs == nullptr) return {};
    STRATA_CHECK_OK(reading_.must_be(*inputs, YamlKind::kMap, "inputs"));
    for (const YamlEntry& entry : inputs->entries) {
      if (!is_plain_name(entry.key))
        return reading_.wrong(
            entry.at,
            fmt::format("\"{}\" is no name of an input: expected small letters, digits and _",
                        entry.key));
      StageInput input;
      const YamlNode* from = &entry.value;
      if (entry.value.kind == YamlKind::kMap) {
        STRATA_CHECK_OK(reading_.only_keys(entry.value, {"from", "when"}));
        from = entry.value.find("from");
        if (from == nullptr)
          return reading_.wrong(entry.value.at, fmt::format("the input {} has no from", entry.key));
        if (const YamlNode* when = entry.value.find("when")) {
          STRATA_TRY(input.when, reading_.condition(*when, "when", known_));
        }
      }
      STRATA_TRY(const std::string source,
                 reading_.text(*from, fmt::format("the input {}", entry.key)));
      const std::size_t dot = source.find('.');
      if (dot == std::string::npos)
        return reading_.wrong(from->at, fmt::format("expected STAGE.OUTPUT, not \"{}\"", source));
      input.stage = source.substr(0, dot);
      input.output = source.substr(dot + 1);
      stage_.inputs.emplace(entry.key, std::move(input));
    }
    return {};
  }

  Status outputs() {
    const YamlNode* outputs = map_.find("outputs");
    if (outputs == nullptr) return {};
    STRATA_TRY(stage_.outputs, reading_.texts(*outputs, "outputs"));
    for (std::size_t i = 0; i < stage_.outputs.size(); ++i) {
      if (is_plain_name(stage_.outputs[i])) continue;
      return reading_.wrong(
          outputs->items[i].at,
          fmt::format("\"{}\" is no name of an output: expected small letters, digits and _",
                      stage_.outputs[i]));
    }
    std::ranges::sort(stage_.outputs);
    return {};
  }

  Status options() {
    if (const YamlNode* node = map_.find("seeded")) {
      STRATA_TRY(stage_.seeded, reading_.flag(*node, "seeded"));
    }
    if (const YamlNode* node = map_.find("resumable")) {
      STRATA_TRY(stage_.resumable, reading_.flag(*node, "resumable"));
    }
    if (const YamlNode* node = map_.find("when")) {
      STRATA_TRY(stage_.when, reading_.condition(*node, "when", known_));
    }
    if (const YamlNode* node = map_.find("flops")) {
      STRATA_TRY(stage_.flops, reading_.condition(*node, "flops", known_));
    }
    if (const YamlNode* node = map_.find("resources")) {
      STRATA_TRY(stage_.resources, read_resources(reading_, *node, {}));
    }
    if (const YamlNode* node = map_.find("lease_seconds")) {
      STRATA_TRY(const std::int64_t seconds,
                 reading_.integer(*node, "lease_seconds", kLeaseSecondsMin, kLeaseSecondsMax));
      stage_.lease_ms = seconds * 1000;
    }
    if (const YamlNode* node = map_.find("secrets")) {
      STRATA_TRY(stage_.secrets, reading_.texts(*node, "secrets"));
    }
    if (const YamlNode* node = map_.find("retry")) {
      STRATA_CHECK_OK(reading_.must_be(*node, YamlKind::kMap, "retry"));
      STRATA_CHECK_OK(reading_.only_keys(*node, {"failures", "lost"}));
      if (const YamlNode* failures = node->find("failures")) {
        STRATA_TRY(stage_.retry.user_failures_max,
                   reading_.integer(*failures, "failures", 1, kRetriesMax));
      }
      if (const YamlNode* lost = node->find("lost")) {
        STRATA_TRY(stage_.retry.infra_failures_max,
                   reading_.integer(*lost, "lost", 1, kRetriesMax));
      }
    }
    return {};
  }

  // What is done when it fails, or has to stop.
  Status failures() {
    if (const YamlNode* node = map_.find("scoring")) {
      STRATA_TRY(stage_.scoring, reading_.flag(*node, "scoring"));
    }
    if (const YamlNode* node = map_.find("grace_seconds")) {
      STRATA_TRY(const std::int64_t seconds,
                 reading_.integer(*node, "grace_seconds", 1, kGraceSecondsMax));
      stage_.grace_ms = seconds * 1000;
    }
    if (const YamlNode* node = map_.find("policy")) {
      STRATA_TRY(const std::vector<WrittenRule> rules, read_policy(reading_, *node));
      for (const WrittenRule& written : rules) stage_.log_rules.push_back(written.rule);
    }
    const YamlNode* fallbacks = map_.find("fallbacks");
    if (fallbacks == nullptr) return {};
    STRATA_CHECK_OK(reading_.must_be(*fallbacks, YamlKind::kList, "fallbacks"));
    if (fallbacks->items.size() > kFallbacksMax)
      return reading_.wrong(fallbacks->at, fmt::format("more than {} fallbacks", kFallbacksMax));
    Resources before = stage_.resources;
    for (const YamlNode& item : fallbacks->items) {
      STRATA_TRY(const ResourceChange change, read_resource_change(reading_, item));
      const Resources shape = lay_over(stage_.resources, change);
      if (shape == before)
        return reading_.wrong(item.at, "this fallback is the shape that would have failed before");
      before = shape;
      stage_.fallbacks.push_back(change);
    }
    return {};
  }

  const Reading& reading_;
  const Expression::Known& known_;
  StageDefinition stage_{};
  YamlNode map_{};
};

// The place of an input, for messages.
YamlPosition place_of_input(const StageNodes& nodes, const std::string& name) {
  for (const YamlEntry& field : nodes.fields) {
    if (field.key != "inputs") continue;
    if (const YamlNode* input = field.value.find(name)) return input->at;
  }
  return nodes.at;
}

Status check_inputs(const Reading& reading, const std::vector<StageNodes>& nodes,
                    const std::vector<StageDefinition>& stages) {
  for (std::size_t i = 0; i < stages.size(); ++i) {
    for (const auto& [name, input] : stages[i].inputs) {
      const YamlPosition at = place_of_input(nodes[i], name);
      const auto producer = std::ranges::find(stages, input.stage, &StageDefinition::name);
      if (producer == stages.end()) {
        std::vector<std::string> names;
        for (const StageDefinition& stage : stages) names.push_back(stage.name);
        return reading.wrong(
            at, fmt::format("there is no stage {}{}", input.stage, suggestion(input.stage, names)));
      }
      if (std::ranges::find(producer->outputs, input.output) == producer->outputs.end()) {
        return reading.wrong(
            at, fmt::format("stage {} has no output {}: expected one of {}", input.stage,
                            input.output, fmt::join(producer->outputs, ", ")));
      }
    }
  }
  return {};
}

// Producers first; of those that could come next, the first as written.
Result<std::vector<StageDefinition>> in_order(const Reading& reading,
                                              const std::vector<StageNodes>& nodes,
                                              std::vector<StageDefinition> stages) {
  std::vector<StageDefinition> ordered;
  std::set<std::string> placed;
  while (ordered.size() < stages.size()) {
    const auto next = std::ranges::find_if(stages, [&](const StageDefinition& stage) {
      return !placed.contains(stage.name) &&
             std::ranges::all_of(stage.inputs, [&](const auto& input) {
               return placed.contains(input.second.stage);
             });
    });
    if (next == stages.end()) {
      std::vector<std::string> left;
      YamlPosition at{};
      for (std::size_t i = 0; i < stages.size(); ++i) {
        if (placed.contains(stages[i].name)) continue;
        if (left.empty()) at = nodes[i].at;
        left.push_back(stages[i].name);
      }
      return reading.wrong(
          at, fmt::format("these stages wait for each other: {}", fmt::join(left, ", ")));
    }
    placed.insert(next->name);
    ordered.push_back(*next);
  }
  return ordered;
}

}  // namespace

Result<std::vector<std::string>> read_code(const Reading& reading, const YamlNode& node) {
  STRATA_TRY(std::vector<std::string> paths, reading.texts(node, "code"));
  if (paths.empty()) return reading.wrong(node.at, "code names no file");
  for (std::size_t i = 0; i < paths.size(); ++i) {
    if (paths[i].empty() || paths[i].front() == '/') {
      return reading.wrong(node.items[i].at,
                           fmt::format("code: \"{}\" is not relative to this file", paths[i]));
    }
    paths[i] = reading.beside(node.items[i].at, paths[i]);
  }
  return paths;
}

Status lay_stages(const Reading& reading, const YamlNode& stages, std::vector<StageNodes>& over) {
  STRATA_CHECK_OK(reading.must_be(stages, YamlKind::kMap, "stages"));
  for (const YamlEntry& entry : stages.entries) {
    auto stage = std::ranges::find(over, entry.key, &StageNodes::name);
    if (entry.value.is_null() && stage != over.end()) {
      over.erase(stage);
      continue;
    }
    STRATA_CHECK_OK(
        reading.must_be(entry.value, YamlKind::kMap, fmt::format("the stage {}", entry.key)));
    if (stage == over.end()) {
      if (over.size() >= kStagesMax)
        return reading.wrong(entry.at, fmt::format("more than {} stages", kStagesMax));
      over.push_back({entry.key, entry.at, {}});
      stage = over.end() - 1;
    }
    for (const YamlEntry& field : entry.value.entries) {
      std::erase_if(stage->fields, [&](const YamlEntry& old) { return old.key == field.key; });
      if (!field.value.is_null()) stage->fields.push_back(field);
    }
  }
  return {};
}

Result<std::vector<StageDefinition>> read_stages(const Reading& reading,
                                                 const std::vector<StageNodes>& nodes,
                                                 const Expression::Known& known) {
  std::vector<StageDefinition> stages;
  for (const StageNodes& one : nodes) {
    STRATA_TRY(StageDefinition stage, StageReader(reading, known).read(one));
    stages.push_back(std::move(stage));
  }
  STRATA_CHECK_OK(check_inputs(reading, nodes, stages));
  return in_order(reading, nodes, std::move(stages));
}

}  // namespace strata
