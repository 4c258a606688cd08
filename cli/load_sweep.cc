#include "cli/load_sweep.h"

#include <filesystem>
#include <optional>

#include "base/files.h"
#include "base/sha256.h"
#include "cli/code_files.h"
#include "cli/data_version.h"
#include "cli/view.h"
#include "schema/yaml.h"

namespace strata::cli {
namespace {

Result<std::string> read_sweep_file(const std::string& path) {
  return read_file(path, kYamlBytesMax);
}

Error as_bad_file(const Error& error) { return {ErrorCode::kInvalid, error.message}; }

bool is_ours(const StageDefinition& stage) {
  return std::filesystem::path(stage.program.argv.front())
      .filename()
      .string()
      .starts_with("strata-");
}

// Where code is put, opened when the first stage has some.
class Freezer {
 public:
  explicit Freezer(Context& context) : context_(context) {}

  Result<ArtifactRef> put(const std::string& stage, const CodeFiles& code) {
    if (!store_) {
      STRATA_TRY(const Value status, context_.ask("status"));
      folder_ = text_at(status, "artifacts");
      auto opened = link::ArtifactStore::open(folder_, text_at(status, "coordinator"));
      if (!opened) return cannot(stage, opened.error());
      store_ = std::move(*opened);
    }
    auto stored = freeze(code, *store_);
    if (!stored) return cannot(stage, stored.error());
    return stored;
  }

 private:
  [[nodiscard]] tl::unexpected<Error> cannot(const std::string& stage, const Error& error) const {
    return fail(ErrorCode::kUnavailable,
                "the code of stage {} cannot be put into the coordinator's artifact folder {}: {}. "
                "Submit on a machine that sees that folder, or with --unfrozen: then it is run "
                "from where it lies, and what you edit reaches tasks that wait",
                stage, folder_, error.message);
  }

  Context& context_;
  std::string folder_{};
  std::optional<link::ArtifactStore> store_{};
};

Status add_code(Context& context, Code how, const SweepDefinition& definition, LoadedSweep& sweep,
                Surroundings& surroundings) {
  Freezer freezer(context);
  for (const StageDefinition& stage : definition.stages) {
    if (stage.folder.empty()) {
      if (is_ours(stage))
        surroundings.code[stage.name].versions[kProgramVersion] = "strata " + context.build;
      continue;
    }
    STRATA_TRY(const CodeFiles code, find_code(stage));
    ArtifactRef ref;
    if (how == Code::kFreeze) {
      STRATA_TRY(ref, freezer.put(stage.name, code));
    } else {
      STRATA_TRY(const Manifest manifest, manifest_of(code));
      ref = ref_of(manifest);
    }
    StageCode& out = surroundings.code[stage.name];
    out.versions[kCodeVersion] = "sha256:" + ref.hash.hex();
    if (!code.git.empty()) out.versions[kGitVersion] = code.git;
    if (how == Code::kUnfrozen) {
      out.versions[kUnfrozen] = stage.folder;
    } else {
      out.artifact = ref;
      out.argv = command_in_code(stage, code.root);
    }
    sweep.code.push_back({.stage = stage.name,
                          .files = code.files.size(),
                          .bytes = ref.bytes,
                          .version = out.versions[kCodeVersion],
                          .git = code.git,
                          .frozen = how != Code::kUnfrozen});
  }
  return {};
}

// What is not there is left out: if a cell needs it, the expansion says so and names the cell.
Status add_data(const Context& context, const SweepDefinition& definition,
                Surroundings& surroundings) {
  bool told = false;
  const DataVersions versions(
      context.cache, [&](const std::filesystem::path& path, const DataProgress& progress) {
        if (!context.tell) return;
        told = true;
        context.tell(fmt::format("hashing {}: {} files, {} MiB read", path.string(), progress.files,
                                 progress.bytes >> 20U));
      });
  for (const auto& [parameter, use] : definition.identity.data) {
    for (const std::string& path : values_of(definition, parameter)) {
      if (surroundings.data.contains(path) || !std::filesystem::path(path).is_absolute()) continue;
      auto version = versions.of(path);
      if (version)
        surroundings.data.emplace(path, std::move(*version));
      else if (version.error().code != ErrorCode::kNotFound)
        return tl::unexpected(version.error().while_doing("identity.data: " + parameter));
    }
  }
  if (told) context.tell("");
  return {};
}

}  // namespace

Result<LoadedSweep> load_sweep(Context& context, const std::string& path, Code code) {
  const auto text = read_sweep_file(path);
  if (!text) return tl::unexpected(as_bad_file(text.error()));
  // Absolute, because {folder} in a command is looked up from here, and in what is not frozen
  // becomes part of what workers start elsewhere.
  std::error_code no_folder;
  auto definition = read_sweep(
      std::filesystem::absolute(path, no_folder).lexically_normal().string(), read_sweep_file);
  if (!definition) return tl::unexpected(as_bad_file(definition.error()));
  LoadedSweep sweep{.file = {.path = path, .sha256 = sha256_hex(*text)}};
  Surroundings surroundings;
  STRATA_CHECK_OK(add_code(context, code, *definition, sweep, surroundings));
  STRATA_CHECK_OK(add_data(context, *definition, surroundings));
  auto expansion = expand(*definition, surroundings);
  if (!expansion) return tl::unexpected(as_bad_file(expansion.error().while_doing(path)));
  sweep.definition = std::move(*definition);
  sweep.expansion = std::move(*expansion);
  return sweep;
}

}  // namespace strata::cli
