// What a run keeps of its held-out losses, and when it measures them: after a fifth of the updates,
// whose averaged weights are kept too (the early weights), every so many updates on the way, and at
// the end. Measuring is validation.h; this is the book.
//
// A measurement is owed from the update that it belongs to until it is kept, also over a stop: the
// attempt that goes on makes it first. The book is part of every checkpoint, so that the lines of a
// run that was stopped are those of one that was not.
#pragma once

#include <vector>

#include "base/value.h"
#include "trainer/tensor_file.h"
#include "trainer/validation.h"

namespace strata::trainer {

// Of the measurements on the way. A run that would have more of them keeps every second, third, ...
// one: 100,000 lines are 10 MB of validation.jsonl.
inline constexpr std::int64_t kPeriodicLinesMax = 100'000;

struct HeldOutSchedule {
  std::int64_t updates = 0;  // of the whole run
  std::int64_t early = 0;    // the update of the early weights
  std::int64_t every = 0;    // on the way; 0: never
  std::int64_t lines_max = kPeriodicLinesMax;
};

class HeldOutRecord {
 public:
  // `ids`: of the held-out utterances, in the order in which they are measured. Not empty.
  HeldOutRecord(const HeldOutSchedule& schedule, std::vector<std::string> ids);

  // What the weights of an update are still to be measured for.
  struct Due {
    bool early = false;
    bool periodic = false;
    bool last = false;
    [[nodiscard]] bool any() const { return early || periodic || last; }
  };
  void after_update(std::int64_t update);
  [[nodiscard]] Due due(std::int64_t update) const;

  // One measurement for all that is due. `average`: the averaged weights that were measured, under
  // the names of the whole model; the backbone's are copied where they are the early ones.
  void keep(const Due& due, std::int64_t update, const std::vector<HeldOutLoss>& losses,
            const NamedTensors& average);

  // Names as load_weights takes them; empty before they were taken.
  [[nodiscard]] const NamedTensors& early_weights() const { return early_weights_; }
  // {"id", "update", "which": "early" | "periodic" | "last", "loss", "loss_permuted"}: the early
  // ones, those on the way by update, the last ones.
  [[nodiscard]] Array lines() const;

  // ---- for checkpoints (training_state.h)
  // "early.*", the early weights; and once there are measurements on the way, their
  // "held_out.updates" (P) int64 and "held_out.losses" (P, U, 2) float64: loss and permuted loss.
  [[nodiscard]] NamedTensors tensors() const;
  [[nodiscard]] static bool owns(std::string_view tensor);  // by its name
  [[nodiscard]] const Array& early_lines() const { return early_lines_; }
  [[nodiscard]] bool periodic_due() const { return periodic_due_; }
  // kInvalid where the early losses name other utterances, or the others count another number.
  [[nodiscard]] Status restore(const NamedTensors& tensors, Array early_lines, bool periodic_due);

 private:
  struct Point {
    std::int64_t update = 0;
    std::vector<HeldOutLoss> losses{};
  };
  [[nodiscard]] bool is_kept(std::int64_t update) const;  // of the measurements on the way
  [[nodiscard]] Status check_ids(const Array& early_lines) const;
  [[nodiscard]] Status restore_periodic(const at::Tensor& updates, const at::Tensor& losses);

  HeldOutSchedule schedule_;
  std::vector<std::string> ids_;
  NamedTensors early_weights_{};
  Array early_lines_{};
  std::vector<Point> periodic_{};  // by update
  std::vector<Point> last_{};      // one at most
  bool periodic_due_ = false;      // of the update that was made last
};

// The backbone's tensors without their prefix, in memory of their own.
[[nodiscard]] NamedTensors backbone_only(const NamedTensors& named);

}  // namespace strata::trainer
