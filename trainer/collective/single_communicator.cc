#include "trainer/collective/communicator.h"

namespace strata::trainer {
namespace {

class SingleCommunicator final : public Communicator {
 public:
  [[nodiscard]] int rank() const override { return 0; }
  [[nodiscard]] int size() const override { return 1; }
  Status all_reduce_sum(std::span<float>) override { return {}; }
  Status all_reduce_sum(std::span<double>) override { return {}; }
  Status broadcast(std::span<char>, int) override { return {}; }
  Status barrier() override { return {}; }
  void abandon(int) override {}
};

}  // namespace

std::unique_ptr<Communicator> make_single_communicator() {
  return std::make_unique<SingleCommunicator>();
}

}  // namespace strata::trainer
