#include "worker/run_directory.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>

#include "base/files.h"
#include "base/json.h"
#include "base/utf8.h"

namespace strata::worker {
RunDirectory::RunDirectory(const std::filesystem::path& attempts, const AttemptId& attempt)
    : folder_(attempts / attempt.folder_name()) {}

Status RunDirectory::create(bool outputs) const {
  std::error_code error;
  std::filesystem::remove_all(folder_, error);
  if (error)
    return fail(ErrorCode::kUnavailable, "removing {}: {}", folder_.string(), error.message());
  return make_folder(outputs ? folder_ / "out" : folder_);
}

bool RunDirectory::take_over(const std::filesystem::path& old) const {
  const std::array files{spec_file().filename().string(), log_file().filename().string()};
  std::size_t found = 0;
  off_t said = 0;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(old, error)) {
    if (std::find(files.begin(), files.end(), entry.path().filename()) == files.end()) return false;
    struct stat about {};
    // One with another name is somebody's who wants to keep it.
    if (::lstat(entry.path().c_str(), &about) != 0 || !S_ISREG(about.st_mode) ||
        about.st_nlink != 1 || about.st_uid != ::geteuid() || (about.st_mode & S_IWUSR) == 0)
      return false;
    ++found;
    if (entry.path().filename() == files[1]) said = about.st_size;
  }
  struct stat about {};
  if (error || found != files.size() || ::lstat(old.c_str(), &about) != 0 ||
      (about.st_mode & S_IRWXU) != S_IRWXU)
    return false;
  return (said == 0 || ::truncate((old / files[1]).c_str(), 0) == 0) &&
         ::rename(old.c_str(), folder_.c_str()) == 0;  // not onto one with something in it
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

// When its spec was written: a folder that was taken over is itself older.
EndedFolders::EndedFolders(const std::filesystem::path& attempts, std::size_t kept)
    : attempts_(attempts), kept_(kept) {
  std::vector<std::pair<std::filesystem::file_time_type, std::string>> found;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(attempts, error)) {
    if (!entry.is_directory(error)) continue;
    auto time = std::filesystem::last_write_time(entry.path() / "spec.json", error);
    if (error) time = entry.last_write_time(error);
    found.emplace_back(time, entry.path().filename().string());
  }
  std::sort(found.begin(), found.end());
  for (auto& [time, name] : found) names_.push_back(std::move(name));
}

void EndedFolders::keep(const std::filesystem::path& folder) {
  std::erase(names_, folder.filename().string());
}

void EndedFolders::add(const std::filesystem::path& folder) {
  keep(folder);
  names_.push_back(folder.filename().string());
}

std::vector<std::filesystem::path> EndedFolders::take_surplus() {
  std::vector<std::filesystem::path> surplus;
  while (names_.size() > kept_) {
    surplus.push_back(attempts_ / names_.front());
    names_.pop_front();
  }
  return surplus;
}

std::optional<std::filesystem::path> EndedFolders::take_oldest(std::size_t running) {
  if (names_.empty() || names_.size() + running <= kept_) return {};
  const std::filesystem::path oldest = attempts_ / names_.front();
  names_.pop_front();
  return oldest;
}

}  // namespace strata::worker
