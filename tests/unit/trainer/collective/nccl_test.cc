// NCCL is compiled and linked in every build; without a GPU only its refusals can be tested.
#include <gtest/gtest.h>

#include <array>

#include "trainer/collective/communicator.h"

namespace strata::trainer {
namespace {

TEST(Nccl, WithoutAGpuItSaysSoAndNamesTheAlternative) {
  const auto meeting = make_single_communicator();
  auto communicator = make_nccl_communicator(*meeting, 0);
  if (communicator) {  // a machine with a GPU: then it must work
    std::array<float, 3> values{1, 2, 3};
    ASSERT_TRUE((*communicator)->all_reduce_sum(std::span(values)));
    EXPECT_EQ(values, (std::array<float, 3>{1, 2, 3}));
    return;
  }
  EXPECT_EQ(communicator.error().code, ErrorCode::kUnsupported);
  EXPECT_NE(communicator.error().message.find("GPU"), std::string::npos);
  EXPECT_NE(communicator.error().message.find("mpi"), std::string::npos);
}

TEST(SingleCommunicator, LeavesValuesAlone) {
  const auto communicator = make_single_communicator();
  std::array<double, 2> values{1, 2};
  ASSERT_TRUE(communicator->all_reduce_sum(std::span(values)));
  EXPECT_EQ(values, (std::array<double, 2>{1, 2}));
  EXPECT_EQ(communicator->size(), 1);
}

}  // namespace
}  // namespace strata::trainer
