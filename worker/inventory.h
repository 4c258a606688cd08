// What this machine has to offer: GPUs where nvidia-smi finds any, cores otherwise.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace strata::worker {

struct Gpu {
  std::string index{};  // as CUDA_VISIBLE_DEVICES takes it
  std::string name{};
};

struct Inventory {
  std::int64_t slots = 0;
  std::vector<Gpu> gpus{};            // one per slot, or none: slots are shares of the cores
  std::vector<std::string> labels{};  // sorted, each once
};

// The lines that `nvidia-smi --query-gpu=index,name --format=csv,noheader` prints.
[[nodiscard]] std::vector<Gpu> parse_gpu_list(std::string_view text);

// Those of `gpus` that CUDA_VISIBLE_DEVICES (`visible`, as a batch system sets it for us) leaves
// us, in its order. Entries that are no index (GPU-<uuid>, MIG-<uuid>) are taken as they are.
[[nodiscard]] std::vector<Gpu> visible_gpus(const std::vector<Gpu>& gpus, std::string_view visible);

// `slots`: how many to offer; all when absent. kInvalid when more are asked for than there are
// GPUs, or fewer than one.
[[nodiscard]] Result<Inventory> make_inventory(std::vector<Gpu> gpus, int cores,
                                               std::optional<std::int64_t> slots,
                                               const std::vector<std::string>& labels);
// The same for this machine. `use_gpus` = false: as if it had none.
[[nodiscard]] Result<Inventory> take_inventory(std::optional<std::int64_t> slots,
                                               const std::vector<std::string>& labels,
                                               bool use_gpus);

// Which slots are taken. The lowest free ones are given first.
class SlotMap {
 public:
  explicit SlotMap(std::int64_t slots);
  // Nothing when fewer are free.
  [[nodiscard]] std::optional<std::vector<std::int64_t>> take(std::int64_t count);
  void give_back(const std::vector<std::int64_t>& slots);

 private:
  std::set<std::int64_t> free_;
};

// STRATA_SLOTS, and CUDA_VISIBLE_DEVICES where slots are GPUs.
[[nodiscard]] std::map<std::string, std::string> slot_environment(
    const Inventory& inventory, const std::vector<std::int64_t>& slots);

}  // namespace strata::worker
