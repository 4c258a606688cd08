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
  return features;
}

Result<at::Tensor> FeatureFolder::load(const std::string& id, const std::string& sha256) {
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
  if (open_shard_ != entry.file) {
    tensors_.clear();
    open_shard_.clear();
    STRATA_TRY(tensors_, read_tensors(folder_ / entry.file));
    open_shard_ = entry.file;
  }
  const auto tensor = tensors_.find(id);
  if (tensor == tensors_.end())
    return fail(ErrorCode::kDamaged, "{}: {} does not hold the item {}", folder_.string(),
                entry.file, id);
  const at::Tensor& stored = tensor->second;
  if (stored.dim() != 2 || stored.size(0) != entry.frames || stored.size(1) != width_) {
    return fail(ErrorCode::kDamaged, "{}: the features of {} do not have {} frames of {} values",
                folder_.string(), id, entry.frames, width_);
  }
  return stored.to(at::kFloat);
}

std::string FeatureWriter::shard_name() const {
  return fmt::format("features-{:05}.safetensors", shards_);
}

Status FeatureWriter::add(const std::string& id, at::Tensor features, const std::string& sha256) {
  STRATA_ASSERT(index_.empty() || index_.rbegin()->first < id);
  STRATA_ASSERT(features.dim() == 2);
  const auto bytes = static_cast<std::int64_t>(features.nbytes());
  if (!shard_.empty() && bytes_in_shard_ + bytes > shard_bytes_) STRATA_CHECK_OK(close_shard());
  index_[id] = {.file = shard_name(), .frames = features.size(0), .sha256 = sha256};
  bytes_in_shard_ += bytes;
  bytes_ += bytes;
  shard_.emplace(id, std::move(features));
  return {};
}

Status FeatureWriter::close_shard() {
  STRATA_CHECK_OK(write_tensors(folder_ / shard_name(), shard_));
  shard_.clear();
  bytes_in_shard_ = 0;
  ++shards_;
  return {};
}

Status FeatureWriter::finish(Object report) {
  if (!shard_.empty()) STRATA_CHECK_OK(close_shard());
  std::string index;
  for (const auto& [id, entry] : index_) {
    index +=
        to_canonical_json(Object{
            {"id", id}, {"file", entry.file}, {"frames", entry.frames}, {"sha256", entry.sha256}}) +
        "\n";
  }
  report["items"] = static_cast<std::int64_t>(index_.size());
  report["bytes"] = bytes_;
  STRATA_CHECK_OK(write_file_atomic(folder_ / kIndexFile, index));
  return write_file_atomic(folder_ / kReportFile, to_pretty_json(report) + "\n");
}

}  // namespace strata::trainer
