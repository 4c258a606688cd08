// The folder of teacher features that `extract` writes:
//
//   features-00000.safetensors …
//       one tensor (frames, width) for each item, named by its id, F16 or F32; bounded shards
//
//   index.jsonl
//       {"id", "file", "frames", "sha256"} ordered by id; sha256 is that of the recording
//
//   rejects.jsonl
//       {"id", "reason"} ordered by id: recordings without features; only where `extract` was
//       allowed to go on without them
//
//   report.json
//       {"teacher": {"name", "identity", "layer", "dtype"}, "width", "frames_per_second", "items",
//       "bytes", "statistics"}
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/torch/tensor.h"
#include "base/value.h"
#include "trainer/tensor_file.h"

namespace strata::trainer {

// A shard is closed when it holds this much.
inline constexpr std::int64_t kFeatureShardBytes = 1LL << 30;

struct FeatureEntry {
  std::string file{};
  std::int64_t frames = 0;
  std::string sha256{};
};
using FeatureIndex = std::map<std::string, FeatureEntry>;   // by id
using FeatureRejects = std::map<std::string, std::string>;  // id -> reason

[[nodiscard]] std::string feature_shard_name(std::int64_t shard);
// Index, rejects (unless there is nothing to say: no map) and report, which is completed with items
// and bytes, in this order: without a report there is no folder.
[[nodiscard]] Status write_feature_lists(const std::filesystem::path& folder,
                                         const FeatureIndex& index, const FeatureRejects* rejects,
                                         std::int64_t bytes, Object report);

// Reads one item at a time: what train has no memory for stays in the files. open() reads the lists
// and the headers of all shards. Safe to call from several threads.
class FeatureFolder {
 public:
  [[nodiscard]] static Result<FeatureFolder> open(const std::filesystem::path& folder);

  [[nodiscard]] std::int64_t width() const { return width_; }
  // What the index says of the item, its shard unseen; null where it has nothing of it.
  [[nodiscard]] const FeatureEntry* listed(const std::string& id) const {
    const auto found = index_.find(id);
    return found != index_.end() ? &found->second : nullptr;
  }
  // Why `extract` gave the item no features; nothing where it did, or does not know it.
  [[nodiscard]] const std::string* rejected(const std::string& id) const;
  struct Stored {
    const TensorFile* file = nullptr;
    const TensorFile::Entry* entry = nullptr;  // (frames, width), F16 or F32
    [[nodiscard]] std::int64_t frames() const { return entry->shape.front(); }
  };
  // An error where the item is missing, its shard does not hold what the index says, or its
  // features are those of another recording; it says why the item was rejected, where it was.
  // Valid as long as the folder.
  [[nodiscard]] Result<Stored> find(const std::string& id, const std::string& sha256) const;
  // (frames, width), of the type in which it is stored.
  [[nodiscard]] Result<at::Tensor> load(const std::string& id, const std::string& sha256) const;

 private:
  std::filesystem::path folder_{};
  FeatureIndex index_{};
  FeatureRejects rejects_{};
  std::int64_t width_ = 0;
  std::map<std::string, TensorFile> shards_{};  // by file name
};

// Writes; items come in the order of their ids. finish() writes index and report last: without them
// there is no folder.
class FeatureWriter {
 public:
  explicit FeatureWriter(std::filesystem::path folder,
                         std::int64_t shard_bytes = kFeatureShardBytes)
      : folder_(std::move(folder)), shard_bytes_(shard_bytes) {}

  // REQUIRES: `id` is greater than the last one.
  [[nodiscard]] Status add(const std::string& id, at::Tensor features, const std::string& sha256);
  // `report` is completed with items and bytes.
  [[nodiscard]] Status finish(Object report);

 private:
  [[nodiscard]] Status close_shard();

  std::filesystem::path folder_;
  std::int64_t shard_bytes_;
  FeatureIndex index_{};
  NamedTensors shard_{};
  std::int64_t bytes_in_shard_ = 0;
  std::int64_t bytes_ = 0;
  std::int64_t shards_ = 0;
};

}  // namespace strata::trainer
