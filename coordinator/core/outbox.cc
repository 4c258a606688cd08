#include "coordinator/core/outbox.h"

#include "base/assert.h"
#include "coordinator/core/breaks.h"

namespace strata::coordinator {

bool Outbox::push(std::string frame) {
  const bool full =
      frames_.size() >= limits_.frames_max || bytes_ + frame.size() > limits_.bytes_max;
  if (full && !STRATA_BROKEN(kUnboundedOutbox)) {
    clear();
    return false;
  }
  bytes_ += frame.size();
  frames_.push_back(std::move(frame));
  return true;
}

void Outbox::pop() {
  STRATA_ASSERT(!frames_.empty());
  bytes_ -= frames_.front().size();
  frames_.pop_front();
}

std::size_t Outbox::clear() {
  const std::size_t waited = frames_.size();
  frames_.clear();
  bytes_ = 0;
  return waited;
}

}  // namespace strata::coordinator
