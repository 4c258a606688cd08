#include "trainer/held_out_record.h"

#include <algorithm>

#include "base/assert.h"
#include "base/json.h"

namespace strata::trainer {
namespace {

constexpr std::string_view kBackbonePrefix = "backbone.";
constexpr std::string_view kEarlyPrefix = "early.";
constexpr std::string_view kUpdates = "held_out.updates";
constexpr std::string_view kLosses = "held_out.losses";

void add_lines(Array& lines, const std::vector<HeldOutLoss>& losses, std::int64_t update,
               const char* which) {
  for (const HeldOutLoss& item : losses) {
    lines.emplace_back(Object{{"id", item.id},
                              {"update", update},
                              {"which", which},
                              {"loss", item.loss},
                              {"loss_permuted", item.permuted}});
  }
}

}  // namespace

HeldOutRecord::HeldOutRecord(const HeldOutSchedule& schedule, std::vector<std::string> ids)
    : schedule_(schedule), ids_(std::move(ids)) {
  STRATA_ASSERT(!ids_.empty());
}

// A rule of the schedule alone, so that every life of a run keeps the same ones.
bool HeldOutRecord::is_kept(std::int64_t update) const {
  const std::int64_t points = std::max<std::int64_t>(0, schedule_.updates - 1) / schedule_.every;
  const std::int64_t lines = points * std::ssize(ids_);
  const std::int64_t stride = (lines + schedule_.lines_max - 1) / schedule_.lines_max;
  return stride <= 1 || update % (stride * schedule_.every) == 0;
}

void HeldOutRecord::after_update(std::int64_t update) {
  periodic_due_ =
      schedule_.every > 0 && update % schedule_.every == 0 && update != schedule_.updates;
}

HeldOutRecord::Due HeldOutRecord::due(std::int64_t update) const {
  return {.early = update == schedule_.early && early_weights_.empty(),
          .periodic = periodic_due_,
          .last = update == schedule_.updates && last_.empty()};
}

// Weights and lines together or neither: a checkpoint between them could not be gone on from.
void HeldOutRecord::keep(const Due& due, std::int64_t update,
                         const std::vector<HeldOutLoss>& losses, const NamedTensors& average) {
  if (due.early) {
    early_weights_ = backbone_only(average);
    add_lines(early_lines_, losses, update, "early");
  }
  if (due.periodic) {
    if (is_kept(update)) periodic_.push_back({update, losses});
    periodic_due_ = false;
  }
  if (due.last) last_.push_back({update, losses});
}

Array HeldOutRecord::lines() const {
  Array lines = early_lines_;
  for (const Point& point : periodic_) add_lines(lines, point.losses, point.update, "periodic");
  for (const Point& point : last_) add_lines(lines, point.losses, point.update, "last");
  return lines;
}

NamedTensors HeldOutRecord::tensors() const {
  NamedTensors tensors;
  for (const auto& [name, tensor] : early_weights_)
    tensors.emplace(std::string(kEarlyPrefix) + name, tensor);
  if (periodic_.empty()) return tensors;
  const auto points = static_cast<std::int64_t>(periodic_.size());
  at::Tensor updates = at::empty({points}, at::kLong);                        // (P)
  at::Tensor losses = at::empty({points, std::ssize(ids_), 2}, at::kDouble);  // (P, U, 2)
  auto* update = updates.data_ptr<std::int64_t>();
  auto* loss = losses.data_ptr<double>();
  for (const Point& point : periodic_) {
    *update++ = point.update;
    for (const HeldOutLoss& item : point.losses) {
      *loss++ = item.loss;
      *loss++ = item.permuted;
    }
  }
  tensors.emplace(kUpdates, std::move(updates));
  tensors.emplace(kLosses, std::move(losses));
  return tensors;
}

bool HeldOutRecord::owns(std::string_view tensor) {
  return tensor.starts_with(kEarlyPrefix) || tensor == kUpdates || tensor == kLosses;
}

Status HeldOutRecord::restore_periodic(const at::Tensor& updates, const at::Tensor& losses) {
  const auto count = static_cast<std::int64_t>(ids_.size());
  const bool whole = updates.dim() == 1 && updates.scalar_type() == at::kLong &&
                     losses.dim() == 3 && losses.scalar_type() == at::kDouble &&
                     losses.size(0) == updates.size(0) && losses.size(2) == 2;
  if (!whole) return fail(ErrorCode::kInvalid, "the checkpoint's {} is not as written", kLosses);
  if (losses.size(1) != count) {
    return fail(ErrorCode::kInvalid,
                "the checkpoint has held-out losses of {} utterances, the corpus holds out {}",
                losses.size(1), count);
  }
  const at::Tensor plain = losses.contiguous();
  const auto* loss = plain.data_ptr<double>();
  periodic_.clear();
  for (std::int64_t p = 0; p < updates.size(0); ++p) {
    Point point{.update = updates[p].item<std::int64_t>()};
    for (const std::string& id : ids_) {
      point.losses.push_back({id, loss[0], loss[1]});
      loss += 2;
    }
    periodic_.push_back(std::move(point));
  }
  return {};
}

Status HeldOutRecord::check_ids(const Array& early_lines) const {
  if (early_lines.empty()) return {};
  for (std::size_t i = 0; i < std::max(early_lines.size(), ids_.size()); ++i) {
    const Value* id = i < early_lines.size() ? early_lines[i].find("id") : nullptr;
    if (id != nullptr && i < ids_.size() && *id == Value(ids_[i])) continue;
    return fail(
        ErrorCode::kInvalid,
        "the checkpoint has early held-out losses of {} utterances, the corpus holds out {}, "
        "and number {} is {} there and {} here: it is of another corpus",
        early_lines.size(), ids_.size(), i + 1, id == nullptr ? "none" : to_canonical_json(*id),
        i < ids_.size() ? to_canonical_json(Value(ids_[i])) : "none");
  }
  return {};
}

Status HeldOutRecord::restore(const NamedTensors& tensors, Array early_lines, bool periodic_due) {
  STRATA_CHECK_OK(check_ids(early_lines));
  early_weights_.clear();
  for (const auto& [name, tensor] : tensors) {
    if (name.starts_with(kEarlyPrefix))
      early_weights_.emplace(name.substr(kEarlyPrefix.size()), tensor);
  }
  periodic_.clear();
  const auto updates = tensors.find(kUpdates);
  const auto losses = tensors.find(kLosses);
  if ((updates == tensors.end()) != (losses == tensors.end()))
    return fail(ErrorCode::kInvalid, "the checkpoint lacks {} or {}", kUpdates, kLosses);
  if (updates != tensors.end()) STRATA_CHECK_OK(restore_periodic(updates->second, losses->second));
  early_lines_ = std::move(early_lines);
  periodic_due_ = periodic_due && schedule_.every > 0;
  last_.clear();
  return {};
}

NamedTensors backbone_only(const NamedTensors& named) {
  NamedTensors weights;
  for (const auto& [name, tensor] : named) {
    if (name.starts_with(kBackbonePrefix))
      weights.emplace(name.substr(kBackbonePrefix.size()), tensor.clone());
  }
  return weights;
}

}  // namespace strata::trainer
