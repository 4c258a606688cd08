#include "trainer/data/features.h"

#include "base/assert.h"
#include "base/fields.h"
#include "base/files.h"
#include "base/json.h"
#include "base/torch/torch.h"
#include "trainer/data/manifest.h"

namespace strata::trainer {
namespace {

constexpr const char* kIndexFile = "index.jsonl";
constexpr const char* kRejectsFile = "rejects.jsonl";
constexpr const char* kReportFile = "report.json";

Result<std::int64_t> read_width(const std::filesystem::path& folder) {
  STRATA_TRY(const std::string text, read_file(folder / kReportFile));
  STRATA_TRY(const Value report, parse_json(text));
  const Value* width = report.find("width");
  const auto number = width == nullptr || width->if_number() == nullptr
                          ? std::nullopt
                          : width->if_number()->to_integer();
  if (!number || *number <= 0)
    return fail(ErrorCode::kInvalid, "{}: no width in it", (folder / kReportFile).string());
  return *number;
}

Result<FeatureRejects> read_rejects(const std::filesystem::path& path) {
  FeatureRejects rejects;
  std::error_code error;
  if (!std::filesystem::exists(path, error)) return rejects;
  STRATA_TRY(const std::vector<Value> lines, read_json_lines(path));
  for (std::size_t i = 0; i < lines.size(); ++i) {
    Fields fields(lines[i], fmt::format("{}: entry {}", path.string(), i + 1));
    const std::string id = fields.text("id");
    rejects[id] = fields.text("reason");
    STRATA_CHECK_OK(fields.finish());
  }
  return rejects;
}

}  // namespace

Result<FeatureFolder> FeatureFolder::open(const std::filesystem::path& folder) {
  FeatureFolder features;
  features.folder_ = folder;
  STRATA_TRY(features.width_, read_width(folder));
  const std::filesystem::path path = folder / kIndexFile;
  STRATA_TRY(const std::vector<Value> lines, read_json_lines(path));
  for (std::size_t i = 0; i < lines.size(); ++i) {
    Fields fields(lines[i], fmt::format("{}: entry {}", path.string(), i + 1));
    const std::string id = fields.text("id");
    FeatureEntry entry{.file = fields.text("file"),
                       .frames = fields.integer("frames"),
                       .sha256 = fields.text("sha256")};
    fields.require(entry.file.find('/') == std::string::npos && !entry.file.empty(), "file",
                   "expected the name of a file in this folder");
    STRATA_CHECK_OK(fields.finish());
    features.index_[id] = std::move(entry);
  }
  STRATA_TRY(features.rejects_, read_rejects(folder / kRejectsFile));
  for (const auto& [id, entry] : features.index_) {
    if (features.shards_.contains(entry.file)) continue;
    STRATA_TRY(TensorFile shard, TensorFile::open(folder / entry.file));
    features.shards_.emplace(entry.file, std::move(shard));
  }
  return features;
}

const std::string* FeatureFolder::rejected(const std::string& id) const {
  const auto found = rejects_.find(id);
  return found == rejects_.end() || index_.contains(id) ? nullptr : &found->second;
}

Result<FeatureFolder::Stored> FeatureFolder::find(const std::string& id,
                                                  const std::string& sha256) const {
  if (const std::string* reason = rejected(id)) {
    return fail(ErrorCode::kInvalid,
                "{}: the item {} has no features, `extract` rejected it ({}): take it out of the "
                "corpus, or mend its recording",
                folder_.string(), id, *reason);
  }
  const auto found = index_.find(id);
  if (found == index_.end())
    return fail(ErrorCode::kInvalid, "{}: no features of the item {}: extract them again",
                folder_.string(), id);
  const FeatureEntry& entry = found->second;
  if (entry.sha256 != sha256) {
    return fail(ErrorCode::kInvalid,
                "{}: the features of {} belong to another recording: extract them again",
                folder_.string(), id);
  }
  const TensorFile& shard = shards_.at(entry.file);
  const Stored stored{.file = &shard, .entry = shard.find(id)};
  if (stored.entry == nullptr)
    return fail(ErrorCode::kDamaged, "{}: {} does not hold the item {}", folder_.string(),
                entry.file, id);
  if (stored.entry->shape != std::vector<std::int64_t>{entry.frames, width_}) {
    return fail(ErrorCode::kDamaged, "{}: the features of {} do not have {} frames of {} values",
                folder_.string(), id, entry.frames, width_);
  }
  return stored;
}

Result<at::Tensor> FeatureFolder::load(const std::string& id, const std::string& sha256) const {
  STRATA_TRY(const Stored stored, find(id, sha256));
  return stored.file->read(*stored.entry);
}

std::string feature_shard_name(std::int64_t shard) {
  return fmt::format("features-{:05}.safetensors", shard);
}

Status write_feature_lists(const std::filesystem::path& folder, const FeatureIndex& index,
                           const FeatureRejects* rejects, std::int64_t bytes, Object report) {
  std::string lines;
  for (const auto& [id, entry] : index) {
    lines +=
        to_canonical_json(Object{
            {"id", id}, {"file", entry.file}, {"frames", entry.frames}, {"sha256", entry.sha256}}) +
        "\n";
  }
  STRATA_CHECK_OK(write_file_atomic(folder / kIndexFile, lines));
  if (rejects != nullptr) {
    lines.clear();
    for (const auto& [id, reason] : *rejects)
      lines += to_canonical_json(Object{{"id", id}, {"reason", reason}}) + "\n";
    STRATA_CHECK_OK(write_file_atomic(folder / kRejectsFile, lines));
  }
  report["items"] = static_cast<std::int64_t>(index.size());
  report["bytes"] = bytes;
  return write_file_atomic(folder / kReportFile, to_pretty_json(report) + "\n");
}

Status FeatureWriter::add(const std::string& id, at::Tensor features, const std::string& sha256) {
  STRATA_ASSERT(index_.empty() || index_.rbegin()->first < id);
  STRATA_ASSERT(features.dim() == 2);
  const auto bytes = static_cast<std::int64_t>(features.nbytes());
  if (!shard_.empty() && bytes_in_shard_ + bytes > shard_bytes_) STRATA_CHECK_OK(close_shard());
  index_[id] = {.file = feature_shard_name(shards_), .frames = features.size(0), .sha256 = sha256};
  bytes_in_shard_ += bytes;
  bytes_ += bytes;
  shard_.emplace(id, std::move(features));
  return {};
}

Status FeatureWriter::close_shard() {
  STRATA_CHECK_OK(write_tensors(folder_ / feature_shard_name(shards_), shard_));
  shard_.clear();
  bytes_in_shard_ = 0;
  ++shards_;
  return {};
}

Status FeatureWriter::finish(Object report) {
  if (!shard_.empty()) STRATA_CHECK_OK(close_shard());
  return write_feature_lists(folder_, index_, nullptr, bytes_, std::move(report));
}

}  // namespace strata::trainer
