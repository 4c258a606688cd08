#include "worker/run_directory.h"

#include <algorithm>

#include "base/files.h"
#include "base/json.h"
#include "base/utf8.h"

namespace strata::worker {
RunDirectory::RunDirectory(const std::filesystem::path& attempts, const AttemptId& attempt)
    : folder_(attempts / attempt.folder_name()) {}

Status RunDirectory::create() const {
  std::error_code error;
  std::filesystem::remove_all(folder_, error);
  if (error)
    return fail(ErrorCode::kUnavailable, "removing {}: {}", folder_.string(), error.message());
  return make_folder(folder_ / "out");
}

Result<std::filesystem::path> RunDirectory::below(const std::string& relative) const {
  const std::filesystem::path path(relative);
  if (path.empty() || path.is_absolute()) {
    return fail(ErrorCode::kInvalid, "\"{}\": expected a path below the attempt folder", relative);
  }
  for (const auto& part : path) {
    if (part == "..")
      return fail(ErrorCode::kInvalid, "\"{}\": leads out of the attempt folder", relative);
  }
  return folder_ / path;
}

std::string stage_spec_text(const StartAttempt& order, const RunDirectory& directory,
                            const SpecPaths& paths) {
  Object inputs;
  for (const auto& [name, path] : paths.inputs) inputs.emplace(name, path.string());
  Object outputs;
  for (const std::string& name : order.spec.outputs)
    outputs.emplace(name, directory.output(name).string());
  const Resources& needs = order.spec.resources;
  Object spec{
      {"contract", 1},
      {"task", order.attempt.task.hex()},
      {"stage", order.spec.stage},
      {"attempt", std::int64_t{order.attempt.number}},
      {"parameters", order.spec.parameters.is_null() ? Value(Object{}) : order.spec.parameters},
      {"inputs", std::move(inputs)},
      {"outputs", std::move(outputs)},
      {"models", paths.models.string()},
      {"resume", paths.resume ? Value(paths.resume->string()) : Value()},
      {"slots", needs.slots},
      {"ranks", std::max<std::int64_t>(1, needs.ranks)},
      {"threads", std::max<std::int64_t>(1, needs.threads)},
  };
  if (order.spec.seed) spec.emplace("seed", *order.spec.seed);
  return to_pretty_json(Value(std::move(spec))) + "\n";
}

std::string clipped(std::string_view line) {
  return encode_utf8(decode_utf8_lossy(line.substr(0, kLogLineMax)));
}

EndedFolders::EndedFolders(const std::filesystem::path& attempts, std::size_t kept) : kept_(kept) {
  std::vector<std::pair<std::filesystem::file_time_type, std::filesystem::path>> found;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(attempts, error)) {
    if (entry.is_directory(error)) found.emplace_back(entry.last_write_time(error), entry.path());
  }
  std::sort(found.begin(), found.end());
  for (auto& [time, path] : found) folders_.push_back(std::move(path));
}

void EndedFolders::keep(const std::filesystem::path& folder) { std::erase(folders_, folder); }

void EndedFolders::add(const std::filesystem::path& folder) {
  keep(folder);
  folders_.push_back(folder);
}

std::vector<std::filesystem::path> EndedFolders::take_surplus() {
  std::vector<std::filesystem::path> surplus;
  while (folders_.size() > kept_) {
    surplus.push_back(std::move(folders_.front()));
    folders_.pop_front();
  }
  return surplus;
}

}  // namespace strata::worker
