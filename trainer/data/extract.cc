#include "trainer/data/extract.h"

#include <algorithm>
#include <chrono>
#include <cstring>

#include "base/audio/audio_file.h"
#include "base/audio/resample.h"
#include "base/fields.h"
#include "base/files.h"
#include "base/log.h"
#include "base/torch/archive.h"
#include "base/torch/guard.h"
#include "base/torch/torch.h"
#include "trainer/data/features.h"
#include "trainer/data/item_store.h"
#include "trainer/data/manifest.h"
#include "trainer/model_choice.h"
#include "trainer/progress.h"
#include "trainer/tensor_file.h"

namespace strata::trainer {
namespace {

constexpr const char* kInterface = "teacher-1";
constexpr std::int64_t kLayerMax = 1000;

using SteadyClock = std::chrono::steady_clock;

struct TeacherOptions {
  ModelChoice model{};
  std::int64_t layer = 0;
  bool half = true;

  [[nodiscard]] Object describe() const {
    return {{"name", model.name},
            {"identity", model.identity},
            {"layer", layer},
            {"dtype", half ? "fp16" : "fp32"}};
  }
};

Result<TeacherOptions> read_options(const Value& parameters) {
  Fields fields(parameters, "parameters");
  Fields teacher(fields.required_child("teacher"), "parameters.teacher");
  STRATA_CHECK_OK(fields.finish());
  TeacherOptions options{.layer = teacher.integer("layer")};
  Fields model(teacher.required_child("model"), "parameters.teacher.model");
  options.model = read_model_choice(model);
  STRATA_CHECK_OK(model.finish());
  options.half = teacher.choice("dtype", {"fp16", "fp32"}, "fp16") == "fp16";
  teacher.require(options.layer >= 1 && options.layer <= kLayerMax, "layer",
                  "expected a layer's number, counted from 1");
  STRATA_CHECK_OK(teacher.finish());
  return options;
}

class Teacher {
 public:
  static Result<Teacher> load(const StageSpec& spec, const TeacherOptions& options) {
    STRATA_TRY(const auto path, Archive::path_of(spec.models, options.model.name));
    STRATA_TRY(Archive archive, Archive::load(path, {.role = "teacher",
                                                     .interface = kInterface,
                                                     .identity = options.model.identity}));
    Teacher teacher(std::move(archive), options);
    STRATA_TRY(teacher.rate_, teacher.archive_.setting("sample_rate"));
    STRATA_TRY(teacher.window_, teacher.archive_.setting("window_samples"));
    STRATA_TRY(teacher.frames_per_second_, teacher.archive_.setting("frames_per_second"));
    STRATA_TRY(teacher.width_, teacher.archive_.setting("width"));
    STRATA_TRY(const std::int64_t layers, teacher.archive_.setting("encoder_layers"));
    if (teacher.rate_ <= 0 || teacher.window_ <= 0 || teacher.frames_per_second_ <= 0 ||
        teacher.width_ <= 0) {
      return fail(ErrorCode::kInvalid, "exported model {}: its settings are not positive",
                  path.string());
    }
    if (options.layer > layers) {
      return fail(ErrorCode::kInvalid,
                  "parameters.teacher.layer: the teacher {} has {} layers, {} was asked for",
                  options.model.name, layers, options.layer);
    }
    return teacher;
  }

  // (frames, width) in the type to store.
  Result<at::Tensor> hear(const std::string& id, const std::filesystem::path& recording) {
    STRATA_TRY(const Audio audio, read_audio(recording));
    const std::vector<float> samples = resample(audio.samples, audio.rate, static_cast<int>(rate_));
    std::vector<at::Tensor> windows;
    for (std::int64_t start = 0; start < std::ssize(samples); start += window_) {
      const std::int64_t count = std::min(window_, std::ssize(samples) - start);
      // (1, samples), silence after the speech.
      at::Tensor window = at::zeros({1, window_}, at::kFloat);
      std::memcpy(window.data_ptr(), samples.data() + start,
                  static_cast<std::size_t>(count) * sizeof(float));
      auto ran = archive_.run_one({window, options_.layer});
      if (!ran) return tl::unexpected(ran.error().while_doing("hearing " + id));
      const at::Tensor heard = std::move(*ran);
      if (heard.dim() != 3 || heard.size(0) != 1 || heard.size(2) != width_) {
        return fail(ErrorCode::kInvalid,
                    "the teacher {} gave a tensor of another shape than (1, frames, {})",
                    options_.model.name, width_);
      }
      const std::int64_t frames = teacher_frames(count, rate_, frames_per_second_);
      windows.push_back(heard[0].slice(0, 0, std::min(frames, heard.size(1))));
    }
    const at::Tensor all = at::cat(windows, 0);
    at::Tensor stored = all.to(options_.half ? at::kHalf : at::kFloat).contiguous();
    if (stored.isfinite().all().item<bool>()) return stored;
    if (!all.isfinite().all().item<bool>()) {
      return fail(ErrorCode::kInvalid, "the teacher {} gave values that are not finite for {} ({})",
                  options_.model.name, id, recording.string());
    }
    return fail(ErrorCode::kInvalid,
                "the teacher {} gave values up to {:.4g} for {} ({}), which fp16 cannot hold: set "
                "teacher.dtype to fp32",
                options_.model.name, all.abs().max().item<double>(), id, recording.string());
  }

  [[nodiscard]] Object report() const {
    return {{"teacher", options_.describe()},
            {"width", width_},
            {"frames_per_second", frames_per_second_}};
  }

 private:
  Teacher(Archive archive, TeacherOptions options)
      : archive_(std::move(archive)), options_(std::move(options)) {}
  Archive archive_;
  TeacherOptions options_;
  std::int64_t rate_ = 0;
  std::int64_t window_ = 0;
  std::int64_t frames_per_second_ = 0;
  std::int64_t width_ = 0;
};

// Items are stored under the hash of their recording: another corpus that shares recordings may
// resume from them too.
std::string store_name(const Item& item) { return item.sha256 + ".safetensors"; }

Status extract_item(const Corpus& corpus, const Item& item, Teacher& teacher,
                    const ItemStore& store) {
  STRATA_TRY(at::Tensor features, teacher.hear(item.id, corpus.audio_path(item)));
  NamedTensors tensors;
  tensors.emplace("features", std::move(features));
  return write_tensors(store.path(store_name(item)), tensors);
}

Status assemble(const std::vector<const Item*>& items, const ItemStore& store,
                const Teacher& teacher, const std::filesystem::path& output) {
  STRATA_CHECK_OK(make_folder(output));
  FeatureWriter writer(output);
  for (const Item* item : items) {
    STRATA_TRY(NamedTensors tensors, read_tensors(store.path(store_name(*item))));
    const auto found = tensors.find("features");
    if (found == tensors.end() || found->second.dim() != 2) {
      return fail(ErrorCode::kDamaged, "{} holds no features: remove it",
                  store.path(store_name(*item)).string());
    }
    STRATA_CHECK_OK(writer.add(item->id, found->second, item->sha256));
  }
  return writer.finish(teacher.report());
}

}  // namespace

std::int64_t teacher_frames(std::int64_t samples, std::int64_t rate,
                            std::int64_t frames_per_second) {
  return (samples * frames_per_second + rate - 1) / rate;
}

Result<int> run_extract(const StageSpec& spec) {
  STRATA_TRY(const TeacherOptions options, read_options(spec.parameters));
  STRATA_TRY(const auto corpus_folder, spec.input("corpus"));
  STRATA_TRY(const auto output, spec.output("features"));
  STRATA_TRY(const Corpus corpus, read_corpus(corpus_folder));
  STRATA_TRY(Teacher teacher, Teacher::load(spec, options));
  STRATA_TRY(ItemStore store, ItemStore::open("partial", spec, options.describe()));
  STRATA_TRY(Progress progress, Progress::open(std::filesystem::current_path()));

  std::vector<const Item*> items;
  for (const Item& item : corpus.items) {
    if (item.split == Split::kTrain || item.split == Split::kHeldout) items.push_back(&item);
  }
  const std::int64_t total = std::ssize(items);
  std::int64_t step = 0;
  std::int64_t computed = 0;
  const auto began = SteadyClock::now();
  auto saved = began;
  const auto seconds_since = [](SteadyClock::time_point then) {
    return std::chrono::duration<double>(SteadyClock::now() - then).count();
  };
  for (const Item* item : items) {
    const bool fresh = !store.has(store_name(*item));
    if (fresh) {
      STRATA_CHECK_OK(extract_item(corpus, *item, teacher, store));
      ++computed;
    }
    ++step;
    STRATA_CHECK_OK(
        progress.report(step, total,
                        {{"items_per_second",
                          static_cast<double>(computed) / std::max(seconds_since(began), 1e-9)}}));
    // Only after work of its own: so every attempt, however often it is stopped, brings the task
    // forward.
    const bool due = stop_requested() || seconds_since(saved) > kItemCheckpointSeconds;
    if (fresh && due && step < total) {
      STRATA_CHECK_OK(store.checkpoint(step, progress));
      saved = SteadyClock::now();
      if (stop_requested()) return exit_code::kStopped;
    }
  }
  auto assembled =
      from_torch("assembling features", [&] { return assemble(items, store, teacher, output); });
  if (!assembled) return tl::unexpected(assembled.error());
  store.discard();
  log_info("extract", "{} items, {} of them computed now, in {:.1f} s", total, computed,
           seconds_since(began));
  return exit_code::kSucceeded;
}

}  // namespace strata::trainer
