// A speech teacher: an exported model of role "teacher" (tools/export/README.md) and what of it is
// taken. Two interfaces are spoken:
//   teacher-1  windows of a fixed length, filled up with silence (Whisper). A longer recording is
//              cut into windows whose features are joined; of the last window only the frames that
//              lie on speech are kept: ceil(samples * frames per second / rate) in all.
//   teacher-2  whole utterances (HuBERT, WavLM): nothing is filled up; frames as the model's
//              convolutions leave them, floor((n - k) / s) + 1 through all of them.
// Layer k >= 1 is the output of block k; layer 0 (teacher-2 only) the input of the first block; the
// last layer is the model's output, after its final norm where it has one.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/audio/audio_file.h"
#include "base/result.h"
#include "base/torch/archive.h"
#include "base/torch/tensor.h"
#include "base/value.h"
#include "trainer/model_choice.h"

namespace strata::trainer {

// The mean over layers from..to. The papers do not say whether the input of the first block counts,
// nor whether layers, whose scales differ, are normed before: both are parameters.
struct LayerAverage {
  std::int64_t from = 1;
  std::optional<std::int64_t> to{};  // nothing: the last
  bool norm = false;                 // every layer over its width first, without gain and bias
  bool operator==(const LayerAverage&) const = default;
};

struct TeacherOptions {
  ModelChoice model{};
  std::optional<std::int64_t> layer{};  // nothing: the last, or `average`
  std::optional<LayerAverage> average{};
  bool half = true;
  bool first_channel = false;
  // Rejected recordings that are still no failure: below 1 a share of all, else a count.
  double rejects_max = 0;

  // What decides the features, and nothing else.
  [[nodiscard]] Object describe() const;
  // How many of `items` that is.
  [[nodiscard]] std::int64_t rejects_allowed(std::int64_t items) const;
};

[[nodiscard]] Result<TeacherOptions> read_teacher_options(const Value& parameters);

// Frames of teacher-1 for a recording of `samples` at `rate`.
[[nodiscard]] std::int64_t teacher_frames(std::int64_t samples, std::int64_t rate,
                                          std::int64_t frames_per_second);
// Frames of teacher-2 for `samples` at the model's rate; 0 where they are too few for one.
[[nodiscard]] std::int64_t convolved_frames(std::int64_t samples,
                                            std::span<const std::int64_t> kernels,
                                            std::span<const std::int64_t> strides);
// To mean 0 and (population) variance 1 in place: (x - mean) / sqrt(variance + 1e-7).
void normalise_utterance(std::vector<float>& samples);

class Teacher {
 public:
  // Layers are resolved: options() says their numbers.
  [[nodiscard]] static Result<Teacher> load(const std::filesystem::path& models,
                                            TeacherOptions options);

  // (frames, width) in the type to store. kInvalid: it is the recording that the teacher, or the
  // type, cannot take; kUnsupported: it is the teacher.
  [[nodiscard]] Result<at::Tensor> hear(const Audio& audio);
  [[nodiscard]] const TeacherOptions& options() const { return options_; }
  [[nodiscard]] std::int64_t width() const { return width_; }
  // "teacher", "width" and "frames_per_second" of report.json.
  [[nodiscard]] Object report() const;

 private:
  Teacher(Archive archive, TeacherOptions options)
      : archive_(std::move(archive)), options_(std::move(options)) {}
  [[nodiscard]] Status read_settings();
  [[nodiscard]] Status resolve_layers(std::int64_t layers);
  // (1, frames, width): the chosen layer or average of what forward() gives for `wav`.
  [[nodiscard]] Result<at::Tensor> hear_wave(const at::Tensor& wav);
  [[nodiscard]] Result<at::Tensor> hear_windows(const std::vector<float>& samples);
  [[nodiscard]] Result<at::Tensor> hear_whole(std::vector<float> samples);

  Archive archive_;
  TeacherOptions options_;
  bool whole_ = false;  // teacher-2
  std::int64_t rate_ = 0;
  std::int64_t width_ = 0;
  std::int64_t frames_per_second_ = 0;
  std::int64_t window_ = 0;              // teacher-1
  std::vector<std::int64_t> kernels_{};  // teacher-2, as strides_ and normalise_
  std::vector<std::int64_t> strides_{};
  bool normalise_ = false;
};

}  // namespace strata::trainer
