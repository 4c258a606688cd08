#include "trainer/checkpoint_choice.h"

#include <array>
#include <string>

#include "base/json.h"
#include "base/log.h"

namespace strata::trainer {
namespace {

namespace fs = std::filesystem;

// The bytes of rank 0, on every rank.
Result<std::string> tell_all(std::string text, Communicator& communicator) {
  std::array<double, 1> size{communicator.rank() == 0 ? static_cast<double>(text.size()) : 0.0};
  STRATA_CHECK_OK(communicator.all_reduce_sum(std::span<double>(size)));
  text.resize(static_cast<std::size_t>(size[0]));
  STRATA_CHECK_OK(communicator.broadcast(std::span(text.data(), text.size()), 0));
  return text;
}

bool is_own_folder(const fs::path& from) {
  std::error_code error;
  return fs::weakly_canonical(fs::absolute(from), error) ==
         fs::weakly_canonical(fs::absolute(kCheckpoints), error);
}

Result<std::optional<ChosenCheckpoint>> choose(const fs::path& from, const Value& recipe) {
  auto chosen = choose_checkpoint(from, recipe);
  if (chosen) return std::optional(std::move(*chosen));
  if (chosen.error().code != ErrorCode::kNotFound || !is_own_folder(from))
    return tl::unexpected(chosen.error());
  log_info("trainer", "{} holds no checkpoint yet: starting at the beginning", from.string());
  return std::optional<ChosenCheckpoint>();
}

}  // namespace

Result<std::optional<ChosenCheckpoint>> choose_together(const fs::path& from, const Value& recipe,
                                                        Communicator& communicator) {
  if (communicator.size() == 1) return choose(from, recipe);
  std::optional<ChosenCheckpoint> chosen;
  std::string said;
  if (communicator.rank() == 0) {
    STRATA_TRY(chosen, choose(from, recipe));
    if (chosen)
      said = to_canonical_json(Object{{"folder", fs::absolute(chosen->folder).string()},
                                      {"sha256", chosen->description.sha256}});
  }
  STRATA_TRY(said, tell_all(std::move(said), communicator));
  if (communicator.rank() == 0 || said.empty()) return chosen;
  STRATA_TRY(const Value choice, parse_json(said));
  const fs::path folder = *choice.find("folder")->if_string();
  chosen.emplace(ChosenCheckpoint{.folder = folder});
  STRATA_TRY(chosen->description, describe_checkpoint(folder));
  if (Value(chosen->description.sha256) != *choice.find("sha256")) {
    return fail(ErrorCode::kDamaged, "{}: this rank sees another checkpoint there than rank 0",
                folder.string());
  }
  STRATA_CHECK_OK(check_recipe(folder, recipe, chosen->description));
  STRATA_TRY(chosen->state, load_checkpoint(folder, chosen->description));
  return chosen;
}

void warn_of_unused_checkpoints() {
  const auto found = list_checkpoints(kCheckpoints);
  if (!found || found->empty()) return;
  log_warning("trainer",
              "starting at the beginning; {}/ holds {} checkpoints, the newest of update {}: to go "
              "on from there, set \"resume\": \"{}\" in the spec",
              kCheckpoints, found->size(), found->front().update, kCheckpoints);
}

}  // namespace strata::trainer
