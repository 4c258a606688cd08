#include "cli/code_files.h"

#include <glob.h>

#include <algorithm>
#include <array>
#include <set>

#include "base/files.h"
#include "base/sha256.h"
#include "base/subprocess.h"

namespace strata::cli {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kFolderToken = "{folder}";
constexpr std::string_view kEndsOfPath = " \t\n'\":,;&|()";

// Hooks of git, and `git rebase --exec`, name their own repository to all that they start, and git
// believes that before it believes the folder.
Result<std::string> git(const fs::path& folder, std::vector<std::string> words) {
  // As `git rev-parse --local-env-vars` lists them.
  constexpr std::array kOfItsRepository{"GIT_ALTERNATE_OBJECT_DIRECTORIES",
                                        "GIT_COMMON_DIR",
                                        "GIT_CONFIG",
                                        "GIT_CONFIG_COUNT",
                                        "GIT_CONFIG_PARAMETERS",
                                        "GIT_DIR",
                                        "GIT_GRAFT_FILE",
                                        "GIT_IMPLICIT_WORK_TREE",
                                        "GIT_INDEX_FILE",
                                        "GIT_NO_REPLACE_OBJECTS",
                                        "GIT_OBJECT_DIRECTORY",
                                        "GIT_PREFIX",
                                        "GIT_QUARANTINE_PATH",
                                        "GIT_REPLACE_REF_BASE",
                                        "GIT_SHALLOW_FILE",
                                        "GIT_WORK_TREE"};
  std::vector<std::string> argv{"env"};
  for (const char* name : kOfItsRepository) argv.insert(argv.end(), {"-u", name});
  argv.insert(argv.end(), {"git", "-C", folder.string()});
  argv.insert(argv.end(), words.begin(), words.end());
  STRATA_TRY(const Captured got, run_captured({.argv = argv, .stderr_file = "/dev/null"}));
  if (got.exit.ok()) return got.output;
  return fail(ErrorCode::kNotFound, "git in {}: {}", folder.string(), got.exit.describe());
}

std::vector<std::string> split(const std::string& text, char at) {
  std::vector<std::string> parts;
  std::size_t begin = 0;
  while (begin < text.size()) {
    const std::size_t end = std::min(text.find(at, begin), text.size());
    if (end > begin) parts.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

class Finder {
 public:
  explicit Finder(const StageDefinition& stage)
      : stage_(stage), folder_(fs::path(stage.folder).lexically_normal()) {
    if (!folder_.has_filename()) folder_ = folder_.parent_path();  // "/a/" -> "/a"
  }

  Result<CodeFiles> run() {
    for (const std::string& word : stage_.command) STRATA_CHECK_OK(named_in(word));
    for (const std::string& path : stage_.code) STRATA_CHECK_OK(listed(path));
    CodeFiles out{.root = folder_};
    for (const fs::path& file : files_) {
      while (!is_below(file, out.root)) out.root = out.root.parent_path();
    }
    std::uintmax_t bytes = 0;
    for (const fs::path& file : files_) {
      STRATA_CHECK_OK(check_link(file, out.root));
      std::error_code error;
      bytes += fs::file_size(file, error);
      if (error) return wrong(fmt::format("{}: {}", file.string(), error.message()));
      out.files.push_back(file.lexically_relative(out.root).generic_string());
    }
    if (bytes > kCodeBytesMax) {
      return wrong(
          fmt::format("{} files below {} have {} MiB, more than {}: name with `code` what "
                      "its command needs",
                      out.files.size(), out.root.string(), bytes >> 20U, kCodeBytesMax >> 20U));
    }
    std::ranges::sort(out.files);
    out.git = describe(out);
    return out;
  }

 private:
  [[nodiscard]] tl::unexpected<Error> wrong(const std::string& what) const {
    return fail(ErrorCode::kInvalid, "the code of stage {}: {}", stage_.name, what);
  }
  static bool is_below(const fs::path& path, const fs::path& folder) {
    const auto [rest, end] = std::mismatch(folder.begin(), folder.end(), path.begin(), path.end());
    return rest == folder.end() && end != path.end();
  }

  // What a word of the command names after {folder}: a file or a folder, all of {folder} where it
  // cannot be told. With a list only the files count: the list says what else.
  Status named_in(const std::string& word) {
    for (std::size_t at = 0; (at = word.find(kFolderToken, at)) != std::string::npos;) {
      at += kFolderToken.size();
      std::string tail = word.substr(at);
      if (!fs::exists(fs::path(folder_.string() + tail)))
        tail = tail.substr(0, tail.find_first_of(kEndsOfPath));
      const fs::path named = fs::path(folder_.string() + tail).lexically_normal();
      std::error_code error;
      if (fs::is_directory(named, error)) {
        if (stage_.code.empty()) STRATA_CHECK_OK(take_folder(named));
      } else if (fs::exists(fs::symlink_status(named, error))) {
        STRATA_CHECK_OK(take(named));
      } else {
        const std::string place = stage_.command_at.empty() ? "" : stage_.command_at + ": ";
        return fail(ErrorCode::kInvalid,
                    "{}the code of stage {}: its command names {}, which is not there", place,
                    stage_.name, named.string());
      }
    }
    return {};
  }

  Status listed(const std::string& path) {
    if (path.find_first_of("*?[") == std::string::npos) {
      std::error_code error;
      if (!fs::exists(fs::symlink_status(path, error)))
        return wrong(fmt::format("{} is not there", path));
      return take_any(path);
    }
    glob_t found{};
    const int failed = ::glob(path.c_str(), 0, nullptr, &found);
    std::vector<std::string> paths(found.gl_pathv, found.gl_pathv + found.gl_pathc);
    ::globfree(&found);
    if (failed != 0 || paths.empty()) return wrong(fmt::format("nothing matches {}", path));
    for (const std::string& one : paths) STRATA_CHECK_OK(take_any(one));
    return {};
  }

  Status take_any(const fs::path& path) {
    std::error_code error;
    if (fs::is_directory(fs::symlink_status(path, error)))
      return take_folder(path.lexically_normal());
    return take(path.lexically_normal());
  }

  Status take(const fs::path& file) {
    std::error_code error;
    const auto status = fs::status(file, error);
    if (!fs::is_regular_file(status)) {
      return wrong(fmt::format("{} is {}", file.string(),
                               fs::is_directory(status)
                                   ? "a link to a folder: name that folder itself"
                                   : "neither a file nor a link to one"));
    }
    files_.insert(file);
    if (files_.size() <= kCodeFilesMax) return {};
    return wrong(
        fmt::format("more than {} files, {} among them: name with `code` what its command "
                    "needs",
                    kCodeFilesMax, file.string()));
  }

  // As git sees it; without git, all but what is hidden or made by Python.
  Status take_folder(const fs::path& folder) {
    const auto list = git(folder, {"ls-files", "-z", "--cached", "--others", "--exclude-standard"});
    if (!list) return take_tree(folder);
    for (const std::string& name : split(*list, '\0')) {
      const fs::path path = (folder / name).lexically_normal();
      std::error_code error;
      const auto status = fs::symlink_status(path, error);
      if (!fs::exists(status)) continue;  // deleted, and not yet committed so
      STRATA_CHECK_OK(fs::is_directory(status) ? take_folder(path) : take(path));  // a submodule
    }
    return {};
  }

  Status take_tree(const fs::path& folder) {
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(folder, error)) {
      const std::string name = entry.path().filename().string();
      if (name.starts_with('.') || name == "__pycache__") continue;
      const bool is_folder = fs::is_directory(entry.symlink_status(error));
      STRATA_CHECK_OK(is_folder ? take_tree(entry.path()) : take(entry.path()));
    }
    if (error) return wrong(fmt::format("{}: {}", folder.string(), error.message()));
    return {};
  }

  [[nodiscard]] Status check_link(const fs::path& file, const fs::path& root) const {
    std::error_code error;
    if (!fs::is_symlink(fs::symlink_status(file, error))) return {};
    const fs::path target = fs::canonical(file, error);
    if (!error && is_below(target, fs::canonical(root, error))) return {};
    return wrong(
        fmt::format("{} is a link out of {}: put a copy there", file.string(), root.string()));
  }

  static std::string describe(const CodeFiles& code) {
    const auto facts = git(code.root, {"rev-parse", "--show-toplevel", "HEAD"});
    const auto changes = git(code.root, {"status", "--porcelain", "-z", "--no-renames",
                                         "--untracked-files=all", "--ignored=matching", "--", "."});
    if (!facts || !changes) return {};
    const std::vector<std::string> lines = split(*facts, '\n');
    if (lines.size() != 2) return {};
    std::error_code error;
    const fs::path root = fs::canonical(code.root, error);
    std::size_t changed = 0;
    for (const std::string& line : split(*changes, '\0')) {
      if (line.size() < 4) continue;
      const fs::path path = fs::path(lines[0]) / line.substr(3);
      changed +=
          static_cast<std::size_t>(std::ranges::count_if(code.files, [&](const std::string& file) {
            const fs::path full = root / file;
            return full == path || is_below(full, path);
          }));
    }
    if (changed == 0) return lines[1];
    return fmt::format("{} + {} changed file{}", lines[1], changed, changed == 1 ? "" : "s");
  }

  const StageDefinition& stage_;
  fs::path folder_;
  std::set<fs::path> files_{};
};

}  // namespace

Result<CodeFiles> find_code(const StageDefinition& stage) { return Finder(stage).run(); }

std::vector<std::string> command_in_code(const StageDefinition& stage, const fs::path& root) {
  const fs::path folder = fs::path(stage.folder).lexically_normal();
  const fs::path inside = folder.lexically_relative(root);
  const std::string place = inside == "." || inside.empty()
                                ? std::string(kCodeToken)
                                : fmt::format("{}/{}", kCodeToken, inside.generic_string());
  std::vector<std::string> argv = stage.command;
  for (std::string& word : argv) {
    for (std::size_t at = 0; (at = word.find(kFolderToken, at)) != std::string::npos;) {
      // "{folder}/../lib/x": there may be no folder to go up from, so the dots go here.
      const std::size_t tail = at + kFolderToken.size();
      const std::size_t end = std::min(word.find_first_of(kEndsOfPath, tail), word.size());
      const std::string path =
          fs::path(place + word.substr(tail, end - tail)).lexically_normal().generic_string();
      word.replace(at, end - at, path);
      at += path.size();
    }
  }
  return argv;
}

Result<Manifest> manifest_of(const CodeFiles& code) {
  Manifest manifest;
  for (const std::string& name : code.files) {
    const fs::path file = code.root / name;
    std::error_code error;
    const auto bytes = fs::file_size(file, error);
    if (error)
      return fail(ErrorCode::kUnavailable, "reading {}: {}", file.string(), error.message());
    STRATA_TRY(std::string digest, sha256_file(file));
    manifest.emplace(
        name, ManifestFile{.bytes = static_cast<std::int64_t>(bytes), .sha256 = std::move(digest)});
  }
  return manifest;
}

Result<ArtifactRef> freeze(const CodeFiles& code, const link::ArtifactStore& store) {
  STRATA_TRY(const fs::path copy, make_temporary_folder(store.root() / "tmp", "code-"));
  auto stored = [&]() -> Result<ArtifactRef> {
    const fs::path content = copy / "content";
    STRATA_CHECK_OK(make_folder(content));
    for (const std::string& name : code.files) {
      const fs::path to = content / name;
      STRATA_CHECK_OK(make_folder(to.parent_path()));
      std::error_code error;
      fs::copy_file(code.root / name, to, error);
      if (error) {
        return fail(ErrorCode::kUnavailable, "copying {} to {}: {}", (code.root / name).string(),
                    to.string(), error.message());
      }
    }
    return store.commit(content, link::Take::kMove);
  }();
  (void)link::remove_tree(copy);
  return stored;
}

}  // namespace strata::cli
