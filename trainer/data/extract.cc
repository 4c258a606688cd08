#include "trainer/data/extract.h"

#include <algorithm>
#include <chrono>
#include <vector>

#include "base/audio/audio_file.h"
#include "base/files.h"
#include "base/json.h"
#include "base/log.h"
#include "base/torch/guard.h"
#include "base/torch/torch.h"
#include "trainer/data/feature_statistics.h"
#include "trainer/data/features.h"
#include "trainer/data/item_store.h"
#include "trainer/data/manifest.h"
#include "trainer/data/teacher.h"
#include "trainer/progress.h"
#include "trainer/tensor_file.h"
#include "trainer/train_program.h"

namespace strata::trainer {
namespace {

constexpr const char* kStoreFolder = "partial";
constexpr const char* kTensor = "features";
// Ranks meet this often to count together and to look for a request to stop.
constexpr double kRoundSeconds = 5;
// A checkpoint links and hashes everything that is finished: with pauses that grow with the work,
// all of them together cost as much as a few passes over the output.
constexpr double kCheckpointShare = 0.25;

using SteadyClock = std::chrono::steady_clock;

double seconds_since(SteadyClock::time_point then) {
  return std::chrono::duration<double>(SteadyClock::now() - then).count();
}

// Items are stored under the hash of their recording: another corpus that shares recordings may
// resume from them too.
std::string store_name(const Item& item) { return item.sha256 + ".safetensors"; }
std::string reject_name(const Item& item) { return item.sha256 + ".reject.txt"; }

// It is the recording, not this machine or this teacher.
bool is_rejectable(const Error& error) {
  switch (error.code) {
    case ErrorCode::kInvalid:
    case ErrorCode::kNotFound:
    case ErrorCode::kDamaged:
    case ErrorCode::kTooLarge: return true;
    case ErrorCode::kConflict:
    case ErrorCode::kUnavailable:
    case ErrorCode::kUnsupported:
    case ErrorCode::kInternal: return false;
  }
  return false;
}

class Extraction {
 public:
  Extraction(const Corpus& corpus, Teacher& teacher, ItemStore store, Communicator& ranks,
             std::filesystem::path output, std::int64_t shard_bytes)
      : corpus_(corpus),
        teacher_(teacher),
        store_(std::move(store)),
        ranks_(ranks),
        output_(std::move(output)),
        shard_bytes_(shard_bytes) {}

  Result<int> run();

 private:
  // What the ranks tell each other; numbers are sums over all of them.
  struct Tally {
    double left = 0;      // items that nobody has tried
    double computed = 0;  // items of this attempt
    double seconds = 0;   // of their recordings
    double rejected = 0;
    double stop = 0;  // ranks that were asked to
    double due = 0;   // ranks that want a checkpoint
  };
  static_assert(sizeof(Tally) == 6 * sizeof(double));

  void choose();
  [[nodiscard]] bool first() const { return ranks_.rank() == 0; }
  [[nodiscard]] bool is_mine(std::size_t index) const {
    return index % static_cast<std::size_t>(ranks_.size()) ==
           static_cast<std::size_t>(ranks_.rank());
  }
  Result<std::optional<int>> map();
  Status work();
  Status extract_item(std::size_t index);
  Result<Tally> meet();
  Status say(const Tally& all);
  Status checkpoint();
  Status check_rejects(const Tally& all) const;

  Status assemble();
  Status find_frames();
  void lay_out();
  Status write_shard(std::int64_t shard, FeatureStatistics& statistics);
  Status write_lists(const FeatureStatistics& statistics);
  Status record_speed(const Tally& all) const;

  const Corpus& corpus_;
  Teacher& teacher_;
  ItemStore store_;
  Communicator& ranks_;
  std::filesystem::path output_;
  std::int64_t shard_bytes_;
  std::optional<Progress> progress_{};  // of rank 0

  std::vector<const Item*> items_{};
  std::int64_t allowed_ = 0;            // rejects
  std::vector<std::size_t> pending_{};  // mine, the last one first
  Tally mine_{};
  std::int64_t done_ = 0;  // items, by all
  SteadyClock::time_point began_ = SteadyClock::now();
  SteadyClock::time_point saved_ = SteadyClock::now();

  std::vector<double> frames_{};          // of every item; 0 of those without features
  std::vector<std::int64_t> shard_of_{};  // of every item
  std::int64_t shards_ = 0;
};

void Extraction::choose() {
  for (const Item& item : corpus_.items) {
    if (item.split == Split::kTrain || item.split == Split::kHeldout) items_.push_back(&item);
  }
  allowed_ = teacher_.options().rejects_allowed(std::ssize(items_));
  frames_.resize(items_.size());
  for (std::size_t i = 0; i < items_.size(); ++i) {
    if (!is_mine(i) || store_.has(store_name(*items_[i]))) continue;
    if (allowed_ > 0 && store_.has(reject_name(*items_[i]))) {
      ++mine_.rejected;
    } else {
      pending_.push_back(i);
    }
  }
  std::ranges::reverse(pending_);
}

Status Extraction::extract_item(std::size_t index) {
  const Item& item = *items_[index];
  const std::filesystem::path path = corpus_.audio_path(item);
  const Channels channels =
      teacher_.options().first_channel ? Channels::kFirst : Channels::kAverage;
  auto heard =
      read_audio(path, channels).and_then([&](const Audio& audio) { return teacher_.hear(audio); });
  if (heard) {
    frames_[index] = static_cast<double>(heard->size(0));
    NamedTensors tensors;
    tensors.emplace(kTensor, std::move(*heard));
    return write_tensors(store_.path(store_name(item)), tensors);
  }
  if (allowed_ == 0 || !is_rejectable(heard.error())) {
    return tl::unexpected(
        heard.error().while_doing(fmt::format("hearing {} ({})", item.id, path.string())));
  }
  ++mine_.rejected;
  // Whoever reads it elsewhere has the corpus in another folder.
  std::string reason = heard.error().message;
  if (const auto at = reason.find(path.string()); at != std::string::npos)
    reason.replace(at, path.string().size(), item.audio);
  log_info("extract", "{} is rejected: {}", item.id, reason);
  return write_file_atomic(store_.path(reject_name(item)), reason);
}

// One item at least, where there is one: so every attempt, however often it is stopped, brings the
// task forward. A rank without others meets nobody, so its rounds are single items.
Status Extraction::work() {
  const auto began = SteadyClock::now();
  do {
    if (pending_.empty()) return {};
    const std::size_t index = pending_.back();
    pending_.pop_back();
    // Two items may be one recording.
    if (store_.has(store_name(*items_[index]))) continue;
    STRATA_CHECK_OK(extract_item(index));
    ++mine_.computed;
    mine_.seconds += items_[index]->seconds();
  } while (ranks_.size() > 1 && !stop_requested() && seconds_since(began) < kRoundSeconds);
  return {};
}

Result<Extraction::Tally> Extraction::meet() {
  const double pause = std::max(kItemCheckpointSeconds, kCheckpointShare * seconds_since(began_));
  mine_.left = static_cast<double>(pending_.size());
  mine_.stop = stop_requested() ? 1 : 0;
  mine_.due = first() && seconds_since(saved_) > pause ? 1 : 0;
  double numbers[] = {mine_.left,     mine_.computed, mine_.seconds,
                      mine_.rejected, mine_.stop,     mine_.due};
  STRATA_CHECK_OK(ranks_.all_reduce_sum(std::span<double>(numbers)));
  return Tally{.left = numbers[0],
               .computed = numbers[1],
               .seconds = numbers[2],
               .rejected = numbers[3],
               .stop = numbers[4],
               .due = numbers[5]};
}

Status Extraction::say(const Tally& all) {
  done_ = std::ssize(items_) - static_cast<std::int64_t>(all.left);
  if (!progress_) return {};
  const double speed = all.computed / std::max(seconds_since(began_), 1e-9);
  Metrics metrics{{"items_per_second", speed},
                  {"audio_seconds_per_second", all.seconds / std::max(seconds_since(began_), 1e-9)},
                  {"rejected", all.rejected}};
  if (all.computed > 0) metrics["eta_seconds"] = all.left / speed;
  return progress_->report(done_, std::ssize(items_), metrics);
}

Status Extraction::check_rejects(const Tally& all) const {
  if (all.rejected <= static_cast<double>(allowed_)) return {};
  std::string example;
  for (const Item* item : items_) {
    const auto reason = read_file(store_.path(reject_name(*item)));
    if (!reason || store_.has(store_name(*item))) continue;
    example = fmt::format("; the first: {}: {}", item->id, *reason);
    break;
  }
  return fail(ErrorCode::kInvalid,
              "{} of {} recordings are rejected, parameters.teacher.rejects_max allows {}{}",
              all.rejected, items_.size(), allowed_, example);
}

Status Extraction::checkpoint() {
  if (first()) STRATA_CHECK_OK(store_.checkpoint(done_, *progress_));
  // Nobody writes into the folder that is being copied.
  return ranks_.barrier();
}

Result<std::optional<int>> Extraction::map() {
  // Nobody begins before all have seen what is there.
  STRATA_TRY(Tally all, meet());
  STRATA_CHECK_OK(say(all));
  while (all.left > 0) {
    STRATA_CHECK_OK(work());
    STRATA_TRY(all, meet());
    STRATA_CHECK_OK(check_rejects(all));
    STRATA_CHECK_OK(say(all));
    if (all.left == 0 || (all.stop == 0 && all.due == 0)) continue;
    STRATA_CHECK_OK(checkpoint());
    saved_ = SteadyClock::now();
    if (all.stop > 0) return exit_code::kStopped;
  }
  STRATA_CHECK_OK(check_rejects(all));
  if (first()) {
    STRATA_CHECK_OK(record_speed(all));
    log_info("extract", "{} items, {} of them computed now, {} rejected, in {:.1f} s",
             items_.size(), all.computed, all.rejected, seconds_since(began_));
  }
  return std::optional<int>{};
}

Status Extraction::find_frames() {
  for (std::size_t i = 0; i < items_.size(); ++i) {
    const Item& item = *items_[i];
    if (!is_mine(i) || frames_[i] > 0 || !store_.has(store_name(item))) continue;
    STRATA_TRY(const NamedTensors tensors, read_tensors(store_.path(store_name(item))));
    const auto found = tensors.find(kTensor);
    if (found == tensors.end() || found->second.dim() != 2 ||
        found->second.size(1) != teacher_.width() || found->second.size(0) == 0) {
      return fail(ErrorCode::kDamaged, "{} holds no features: remove it",
                  store_.path(store_name(item)).string());
    }
    frames_[i] = static_cast<double>(found->second.size(0));
  }
  // Exact: each number is one rank's.
  return ranks_.all_reduce_sum(std::span(frames_));
}

// Shards of at most so many bytes (or one item), in the order of the ids.
void Extraction::lay_out() {
  const double of_frame = static_cast<double>(teacher_.width()) * (teacher_.options().half ? 2 : 4);
  shard_of_.assign(items_.size(), 0);
  double held = 0;
  for (std::size_t i = 0; i < items_.size(); ++i) {
    const double bytes = frames_[i] * of_frame;
    if (held > 0 && bytes > 0 && held + bytes > static_cast<double>(shard_bytes_)) {
      ++shards_;
      held = 0;
    }
    held += bytes;
    shard_of_[i] = shards_;
  }
  if (held > 0) ++shards_;
}

Status Extraction::write_shard(std::int64_t shard, FeatureStatistics& statistics) {
  NamedTensors tensors;
  const auto [begin, end] = std::ranges::equal_range(shard_of_, shard);
  for (auto at = begin; at != end; ++at) {
    const auto index = static_cast<std::size_t>(at - shard_of_.begin());
    if (frames_[index] == 0) continue;
    const std::filesystem::path path = store_.path(store_name(*items_[index]));
    STRATA_TRY(NamedTensors stored, read_tensors(path));
    const auto found = stored.find(kTensor);
    if (found == stored.end() || found->second.dim() != 2 ||
        static_cast<double>(found->second.size(0)) != frames_[index]) {
      return fail(ErrorCode::kDamaged, "{} holds no features: remove it", path.string());
    }
    statistics.add(static_cast<std::int64_t>(index), shard, found->second);
    tensors.emplace(items_[index]->id, std::move(found->second));
  }
  return write_tensors(output_ / feature_shard_name(shard), tensors);
}

Status Extraction::write_lists(const FeatureStatistics& statistics) {
  FeatureIndex index;
  FeatureRejects rejects;
  double seconds = 0;
  double lost = 0;
  for (std::size_t i = 0; i < items_.size(); ++i) {
    const Item& item = *items_[i];
    if (frames_[i] > 0) {
      index[item.id] = {.file = feature_shard_name(shard_of_[i]),
                        .frames = static_cast<std::int64_t>(frames_[i]),
                        .sha256 = item.sha256};
      seconds += item.seconds();
    } else {
      STRATA_TRY(rejects[item.id], read_file(store_.path(reject_name(item))));
      lost += item.seconds();
    }
  }
  Object about = statistics.describe();
  about["seconds"] = seconds;
  about["frames_per_second"] = static_cast<double>(statistics.frames()) / seconds;
  about["rejected"] = static_cast<std::int64_t>(rejects.size());
  about["coverage"] =
      Object{{"items", static_cast<double>(index.size()) / static_cast<double>(items_.size())},
             {"seconds", seconds / (seconds + lost)}};
  Object report = teacher_.report();
  report["statistics"] = std::move(about);
  const std::int64_t bytes =
      statistics.frames() * teacher_.width() * (teacher_.options().half ? 2 : 4);
  return write_feature_lists(output_, index, allowed_ > 0 ? &rejects : nullptr, bytes,
                             std::move(report));
}

Status Extraction::assemble() {
  STRATA_CHECK_OK(find_frames());
  lay_out();
  if (shards_ == 0)
    return fail(ErrorCode::kInvalid, "{}: there is no recording with features",
                corpus_.folder.string());
  STRATA_CHECK_OK(make_folder(output_));
  FeatureStatistics statistics(std::ssize(items_), shards_, teacher_.width());
  for (std::int64_t shard = ranks_.rank(); shard < shards_; shard += ranks_.size())
    STRATA_CHECK_OK(write_shard(shard, statistics));
  STRATA_CHECK_OK(statistics.sum_over(ranks_));
  if (first()) STRATA_CHECK_OK(write_lists(statistics));
  return ranks_.barrier();
}

Status Extraction::record_speed(const Tally& all) const {
  const double seconds = std::max(seconds_since(began_), 1e-9);
  return write_file_atomic(
      "recorded.json", to_pretty_json(Object{{"items_computed", all.computed},
                                             {"items_per_second", all.computed / seconds},
                                             {"audio_seconds_per_second", all.seconds / seconds}}) +
                           "\n");
}

Result<int> Extraction::run() {
  if (first()) {
    STRATA_TRY(progress_, Progress::open(std::filesystem::current_path()));
  }
  choose();
  STRATA_TRY(const std::optional<int> ended, map());
  if (ended) return *ended;
  auto assembled = from_torch("assembling features", [&] { return assemble(); });
  if (!assembled) return tl::unexpected(assembled.error());
  if (first()) store_.discard();
  return exit_code::kSucceeded;
}

}  // namespace

Result<int> extract_as_rank(const StageSpec& spec, Communicator& ranks, std::int64_t shard_bytes) {
  STRATA_TRY(TeacherOptions options, read_teacher_options(spec.parameters));
  STRATA_TRY(const auto corpus_folder, spec.input("corpus"));
  STRATA_TRY(const auto output, spec.output("features"));
  STRATA_TRY(const Corpus corpus, read_corpus(corpus_folder));
  STRATA_TRY(Teacher teacher, Teacher::load(spec.models, std::move(options)));
  ItemStore store = ItemStore::join(kStoreFolder);
  if (ranks.rank() == 0) {
    STRATA_TRY(store, ItemStore::open(kStoreFolder, spec, teacher.options().describe()));
  }
  STRATA_CHECK_OK(ranks.barrier());
  return Extraction(corpus, teacher, std::move(store), ranks, output, shard_bytes).run();
}

Result<int> run_extract(const StageSpec& spec) {
  STRATA_TRY(const auto ranks, connect(spec));
  return end_together(extract_as_rank(spec, *ranks), *ranks);
}

}  // namespace strata::trainer
