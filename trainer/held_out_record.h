// What a run keeps of its held-out losses, and when it measures them: after a fifth of the updates,
// whose averaged weights are kept too (the early weights), every so many updates on the way, and at
// the end. Measuring is validation.h; this is the book.
//
// A measurement is owed from the update that it belongs to until it is kept, also over a stop: the
// attempt that goes on makes it first.
#pragma once

#include <optional>
#include <vector>

#include "base/value.h"
#include "trainer/tensor_file.h"
#include "trainer/validation.h"

namespace strata::trainer {

struct HeldOutSchedule {
  std::int64_t updates = 0;  // of the whole run
  std::int64_t early = 0;    // the update of the early weights
  std::int64_t every = 0;    // on the way; 0: never
};

class HeldOutRecord {
 public:
  explicit HeldOutRecord(const HeldOutSchedule& schedule) : schedule_(schedule) {}

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
  // {"id", "update", "which": "early" | "last", "loss", "loss_permuted"}
  [[nodiscard]] const Array& lines() const { return lines_; }

  // For checkpoints (training_state.h).
  [[nodiscard]] bool periodic_due() const { return periodic_due_; }
  void restore(Array lines, NamedTensors early_weights, bool periodic_due);

 private:
  HeldOutSchedule schedule_;
  NamedTensors early_weights_{};
  Array lines_{};
  bool periodic_due_ = false;  // of the update that was made last
  bool last_kept_ = false;
};

// The backbone's tensors without their prefix, in memory of their own.
[[nodiscard]] NamedTensors backbone_only(const NamedTensors& named);

}  // namespace strata::trainer
