#include "tests/simulation/breaks.h"

#include <algorithm>

namespace strata::simulation {

using coordinator::Break;

const std::vector<KnownBreak>& known_breaks() {
  static const std::vector<KnownBreak> all{
      {"no-fencing", Break::kNoFencing, "I3", 1},
      {"act-before-commit", Break::kActBeforeCommit, "I2", 3},
      {"double-grant", Break::kDoubleGrant, "I1", 1},
      {"slot-double-free", Break::kSlotDoubleFree, "I5", 1},
      {"partial-gang", Break::kPartialGang, "I6", 1},
      {"ignore-rank-loss", Break::kIgnoreRankLoss, "I7", 1},
      {"duplicate-create", Break::kDuplicateCreate, "I8", 1},
      {"drop-deletes-result", Break::kDropDeletesResult, "I9", 1},
      {"consume-before-commit", Break::kConsumeBeforeCommit, "I10", 1},
      {"charge-infra-to-user", Break::kChargeInfraToUser, "I11", 1},
      {"endless-infra-retries", Break::kEndlessInfraRetries, "I12", 1},
      {"clock-in-replay", Break::kClockInReplay, "I13", 1},
      {"accept-torn-tail", Break::kAcceptTornTail, "I14", 2},
      {"terminal-reopens", Break::kTerminalReopens, "I4", 1},
      {"unbounded-outbox", Break::kUnboundedOutbox, "I17", 3},
      {"metrics-doubled-after-rollback", Break::kMetricsAfterRollback, "I19", 1},
      {"cancel-shared-task", Break::kCancelSharedTask, "I21", 3}};
  return all;
}

const KnownBreak* find_break(std::string_view name) {
  const auto& all = known_breaks();
  const auto it =
      std::find_if(all.begin(), all.end(), [&](const KnownBreak& one) { return name == one.name; });
  return it == all.end() ? nullptr : &*it;
}

}  // namespace strata::simulation
