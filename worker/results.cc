#include "worker/results.h"

#include "base/files.h"
#include "base/log.h"
#include "schema/score.h"
#include "worker/outcome.h"

namespace strata::worker {
namespace {

// What the program made is wrong, or it cannot be read or stored now: a full disk, a mount that
// went away. Who holds the same artifact at the same moment is no fault of the storage.
Failed failed_with(const Error& error) {
  FailureClass cause = FailureClass::kUser;
  if (error.code == ErrorCode::kUnavailable) cause = FailureClass::kStorage;
  if (error.code == ErrorCode::kConflict) cause = FailureClass::kInfra;
  return {.cause = cause, .reason = error.message};
}

}  // namespace

Outcome collect_results(const ArtifactStore* store, const StartAttempt& order,
                        const RunDirectory& directory,
                        std::map<std::string, std::string> recorded) {
  Succeeded succeeded;
  std::error_code error;
  for (const std::string& name : order.spec.outputs) {  // all of them, before any is moved
    if (!std::filesystem::exists(std::filesystem::symlink_status(directory.output(name), error))) {
      return Failed{
          .cause = FailureClass::kUser,
          .reason = fmt::format("exit code 0, but the declared output \"{}\" was not written ({})",
                                name, directory.output(name).string())};
    }
  }
  if (std::filesystem::exists(directory.scores_file(), error)) {
    const auto text = read_file(directory.scores_file());
    if (!text) return failed_with(text.error());
    auto scores = parse_scores(*text);
    // It would write the same again.
    if (!scores) return Failed{.cause = FailureClass::kInvalid, .reason = scores.error().message};
    succeeded.scores = std::move(*scores);
  }
  for (const std::string& name : order.spec.outputs) {
    if (store == nullptr)
      return Failed{.cause = FailureClass::kInfra,
                    .reason = "the artifact store cannot be reached"};
    const auto ref = store->commit(directory.output(name), Take::kMove);
    if (!ref) return failed_with(ref.error());
    succeeded.artifacts.emplace(name, *ref);
  }
  for (const auto& [name, ref] : order.inputs) succeeded.consumed.emplace(name, ref.hash);
  if (std::filesystem::exists(directory.recorded_file(), error)) {
    const auto text = read_file(directory.recorded_file());
    const auto told = text ? parse_recorded(*text) : tl::unexpected(text.error());
    if (told)
      recorded.insert(told->begin(), told->end());  // what the worker knows itself stays
    else
      log_warning("worker", "attempt {}: {}", order.attempt.text(), told.error().message);
  }
  succeeded.recorded = std::move(recorded);
  return succeeded;
}

InputCheck check_inputs(const ArtifactStore& store, const StartAttempt& order, Verify how) {
  InputCheck result;
  const auto check = [&](const std::string& what, const ContentHash& hash, Verify depth) {
    const auto status = store.verify(hash, depth);
    if (status) return;
    const Error& error = status.error();
    result.why += fmt::format("{}{}: {}", result.why.empty() ? "" : "; ", what, error.message);
    // An error of the file system is no loss: making the artifact again may cost days.
    if (error.code == ErrorCode::kNotFound || error.code == ErrorCode::kDamaged) {
      result.lost.push_back(hash);
    } else {
      result.unknown = true;
    }
  };
  for (const auto& [name, ref] : order.inputs) check("input " + name, ref.hash, how);
  // Every byte of a checkpoint: a program that finds a damaged one can only say that its spec is
  // wrong, and the task would be over, while here it is called lost and the task begins before it.
  if (order.resume_from) check("checkpoint", order.resume_from->hash, Verify::kHashes);
  return result;
}

}  // namespace strata::worker
