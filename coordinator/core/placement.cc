#include "coordinator/core/placement.h"

#include <algorithm>

namespace strata::coordinator {
namespace {

bool carries(const Worker& worker, const std::vector<std::string>& labels) {
  return std::all_of(labels.begin(), labels.end(), [&](const std::string& label) {
    return std::find(worker.labels.begin(), worker.labels.end(), label) != worker.labels.end();
  });
}

std::string needs_text(const Resources& needs) {
  std::string text =
      needs.slots == 1 ? "needs 1 slot" : fmt::format("needs {} slots together", needs.slots);
  if (!needs.labels.empty())
    text += fmt::format(" with label {}", fmt::join(needs.labels, " and "));
  return text;
}

}  // namespace

Placement place(const Resources& needs, const std::map<WorkerId, Worker>& workers,
                const std::set<WorkerId>& closed) {
  const Worker* fitting = nullptr;
  WorkerId fitting_id;
  const Worker* capable = nullptr;  // could hold it if empty; the one that lacks least now
  WorkerId capable_id;
  std::int64_t largest = 0;
  bool labelled = false;
  for (const auto& [id, worker] : workers) {
    if (worker.draining || !carries(worker, needs.labels)) continue;
    labelled = true;
    largest = std::max(largest, worker.slots);
    if (worker.slots < needs.slots) continue;
    if (capable == nullptr || worker.free > capable->free) {
      capable = &worker;
      capable_id = id;
    }
    if (closed.contains(id) || worker.free < needs.slots) continue;
    if (fitting == nullptr || worker.free < fitting->free) {
      fitting = &worker;
      fitting_id = id;
    }
  }
  if (fitting != nullptr) return Placed{.gang = {{.worker = fitting_id, .slots = needs.slots}}};
  if (workers.empty()) return Infeasible{.reason = needs_text(needs) + "; no worker has joined"};
  if (!labelled)
    return Infeasible{.reason = needs_text(needs) + "; no worker that takes new tasks carries it"};
  if (capable == nullptr) {
    return Infeasible{.reason =
                          fmt::format("{}; the largest worker has {}", needs_text(needs), largest)};
  }
  if (closed.contains(capable_id) && capable->free >= needs.slots) {
    return Waiting{
        .reason = fmt::format("{}; {} is silent, or kept free for a task before this one",
                              needs_text(needs), capable->name),
        .best = capable_id};
  }
  return Waiting{
      .reason = fmt::format("{}, {} free on {}", needs_text(needs), capable->free, capable->name),
      .best = capable_id};
}

}  // namespace strata::coordinator
