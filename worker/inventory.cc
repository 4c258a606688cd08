#include "worker/inventory.h"

#include <algorithm>
#include <cstdlib>
#include <sstream>
#include <thread>

#include "base/log.h"
#include "base/subprocess.h"

namespace strata::worker {
namespace {

std::string trimmed(const std::string& text) {
  const std::size_t begin = text.find_first_not_of(" \t\r");
  if (begin == std::string::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t\r") - begin + 1);
}

// "NVIDIA H200" -> "gpu:nvidia-h200": labels are compared as words.
std::string gpu_label(const std::string& name) {
  std::string label = "gpu:";
  for (const char c : name) {
    const bool word = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-';
    if (c >= 'A' && c <= 'Z') {
      label += static_cast<char>(c - 'A' + 'a');
    } else {
      label += word ? c : '-';
    }
  }
  return label;
}

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : ",") + word;
  return text;
}

}  // namespace

std::vector<Gpu> parse_gpu_list(std::string_view text) {
  std::vector<Gpu> gpus;
  std::istringstream lines{std::string(text)};
  for (std::string line; std::getline(lines, line);) {
    const std::size_t comma = line.find(',');
    const std::string index = trimmed(line.substr(0, comma));
    if (comma == std::string::npos || index.empty() ||
        index.find_first_not_of("0123456789") != std::string::npos)
      continue;
    gpus.push_back({.index = index, .name = trimmed(line.substr(comma + 1))});
  }
  return gpus;
}

std::vector<Gpu> visible_gpus(const std::vector<Gpu>& gpus, std::string_view visible) {
  std::vector<Gpu> ours;
  std::istringstream entries{std::string(visible)};
  for (std::string entry; std::getline(entries, entry, ',');) {
    const std::string device = trimmed(entry);
    const auto known =
        std::find_if(gpus.begin(), gpus.end(), [&](const Gpu& gpu) { return gpu.index == device; });
    if (known != gpus.end()) {
      ours.push_back(*known);
    } else if (device.starts_with("GPU-") || device.starts_with("MIG-")) {
      ours.push_back({.index = device, .name = gpus.empty() ? "" : gpus.front().name});
    } else {
      break;  // as CUDA reads it: what follows an unknown device is not visible either
    }
  }
  return ours;
}

Result<Inventory> make_inventory(std::vector<Gpu> gpus, int cores,
                                 std::optional<std::int64_t> slots,
                                 const std::vector<std::string>& labels) {
  const auto available = static_cast<std::int64_t>(gpus.size());
  if (slots && *slots < 1)
    return fail(ErrorCode::kInvalid, "--slots {}: expected at least 1", *slots);
  if (slots && available > 0 && *slots > available) {
    return fail(
        ErrorCode::kInvalid,
        "--slots {}: this machine has {} GPUs; with --no-gpus slots are shares of its cores",
        *slots, available);
  }
  Inventory inventory{.slots = slots.value_or(available > 0 ? available : std::max(1, cores)),
                      .labels = labels};
  if (available > 0) gpus.resize(static_cast<std::size_t>(inventory.slots));
  inventory.labels.emplace_back(available > 0 ? "gpu" : "cpu");
  for (const Gpu& gpu : gpus) inventory.labels.push_back(gpu_label(gpu.name));
  inventory.gpus = std::move(gpus);
  std::sort(inventory.labels.begin(), inventory.labels.end());
  inventory.labels.erase(std::unique(inventory.labels.begin(), inventory.labels.end()),
                         inventory.labels.end());
  return inventory;
}

Result<Inventory> take_inventory(std::optional<std::int64_t> slots,
                                 const std::vector<std::string>& labels, bool use_gpus) {
  std::vector<Gpu> gpus;
  if (use_gpus && find_program("nvidia-smi")) {
    const auto listed =
        run_captured({.argv = {"nvidia-smi", "--query-gpu=index,name", "--format=csv,noheader"},
                      .stderr_file = "/dev/null"});
    if (listed && listed->exit.ok()) gpus = parse_gpu_list(listed->output);
    const char* visible = std::getenv("CUDA_VISIBLE_DEVICES");
    if (visible != nullptr) gpus = visible_gpus(gpus, visible);
    if (listed && !listed->exit.ok())
      log_warning("worker", "nvidia-smi: {}: slots are cores", listed->exit.describe());
  }
  return make_inventory(std::move(gpus), static_cast<int>(std::thread::hardware_concurrency()),
                        slots, labels);
}

SlotMap::SlotMap(std::int64_t slots) {
  for (std::int64_t slot = 0; slot < slots; ++slot) free_.insert(slot);
}

std::optional<std::vector<std::int64_t>> SlotMap::take(std::int64_t count) {
  if (count > static_cast<std::int64_t>(free_.size())) return {};
  std::vector<std::int64_t> taken;
  while (static_cast<std::int64_t>(taken.size()) < count) {
    taken.push_back(*free_.begin());
    free_.erase(free_.begin());
  }
  return taken;
}

void SlotMap::give_back(const std::vector<std::int64_t>& slots) {
  free_.insert(slots.begin(), slots.end());
}

std::map<std::string, std::string> slot_environment(const Inventory& inventory,
                                                    const std::vector<std::int64_t>& slots) {
  std::vector<std::string> numbers;
  std::vector<std::string> devices;
  for (const std::int64_t slot : slots) {
    numbers.push_back(std::to_string(slot));
    if (!inventory.gpus.empty())
      devices.push_back(inventory.gpus.at(static_cast<std::size_t>(slot)).index);
  }
  std::map<std::string, std::string> environment{{"STRATA_SLOTS", joined(numbers)}};
  if (!inventory.gpus.empty()) environment.emplace("CUDA_VISIBLE_DEVICES", joined(devices));
  return environment;
}

}  // namespace strata::worker
