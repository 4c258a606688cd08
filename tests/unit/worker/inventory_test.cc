#include "worker/inventory.h"

#include <gtest/gtest.h>

namespace strata::worker {
namespace {

TEST(Inventory, WithoutGpusTheSlotsAreCoresOrAsManyAsAskedFor) {
  const auto all = make_inventory({}, 8, {}, {"fast"});
  ASSERT_TRUE(all);
  EXPECT_EQ(all->slots, 8);
  EXPECT_EQ(all->labels, (std::vector<std::string>{"cpu", "fast"}));
  EXPECT_EQ(make_inventory({}, 2, 16, {})->slots, 16)
      << "shares of cores may be as small as one likes";
  EXPECT_FALSE(make_inventory({}, 2, 0, {}));
}

TEST(Inventory, GpusAreSlotsAndNeverMoreThanThereAre) {
  const auto gpus = parse_gpu_list("0, NVIDIA H200\n1, NVIDIA H200\nNo devices were found\n");
  ASSERT_EQ(gpus.size(), 2U);
  const auto all = make_inventory(gpus, 16, {}, {});
  EXPECT_EQ(all->slots, 2);
  EXPECT_EQ(all->labels, (std::vector<std::string>{"gpu", "gpu:nvidia-h200"}));
  EXPECT_EQ(make_inventory(gpus, 16, 1, {})->gpus.size(), 1U);
  const auto too_many = make_inventory(gpus, 16, 3, {});
  ASSERT_FALSE(too_many);
  EXPECT_NE(too_many.error().message.find("--no-gpus"), std::string::npos);
}

TEST(Inventory, AProgramSeesItsOwnGpusOnly) {
  const auto inventory = make_inventory(parse_gpu_list("0, A\n1, A\n3, A\n"), 4, {}, {});
  EXPECT_EQ(slot_environment(*inventory, {1, 2}),
            (std::map<std::string, std::string>{{"STRATA_SLOTS", "1,2"},
                                                {"CUDA_VISIBLE_DEVICES", "1,3"}}));
  EXPECT_EQ(slot_environment(*make_inventory({}, 4, {}, {}), {0}),
            (std::map<std::string, std::string>{{"STRATA_SLOTS", "0"}}));
}

TEST(Inventory, OfTheGpusOnlyThoseThatTheBatchSystemGaveUsAreOurs) {
  const auto gpus = parse_gpu_list("0, A\n1, A\n2, A\n");
  const auto indices = [&](const char* visible) {
    std::string text;
    for (const Gpu& gpu : visible_gpus(gpus, visible)) text += gpu.index + " ";
    return text;
  };
  EXPECT_EQ(indices("2, 0"), "2 0 ");
  EXPECT_EQ(indices(""), "");
  EXPECT_EQ(indices("1,-1,2"), "1 ");
  EXPECT_EQ(indices("GPU-8a,MIG-1"), "GPU-8a MIG-1 ");
}

TEST(SlotMap, TheLowestFreeSlotsAreGivenAndNoneTwice) {
  SlotMap slots(3);
  EXPECT_EQ(slots.take(2), (std::vector<std::int64_t>{0, 1}));
  EXPECT_FALSE(slots.take(2));
  slots.give_back({0});
  EXPECT_EQ(slots.take(2), (std::vector<std::int64_t>{0, 2}));
}

}  // namespace
}  // namespace strata::worker
