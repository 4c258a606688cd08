#include "trainer/copy.h"

#include "base/audio/audio_file.h"
#include "base/fields.h"
#include "base/files.h"
#include "base/log.h"
#include "base/random.h"
#include "trainer/audio_output.h"
#include "trainer/data/dataset.h"
#include "trainer/progress.h"
#include "trainer/vocoder.h"

namespace strata::trainer {
namespace {

struct CopyOptions {
  std::optional<std::int64_t> items{};
  bool other_speakers = true;
  VocoderChoice vocoder{};
};

Result<CopyOptions> read_options(const Value& parameters) {
  Fields fields(parameters, "parameters");
  Fields copy(fields.required_child("copy"), "parameters.copy");
  Fields vocoder(fields.required_child("vocoder"), "parameters.vocoder");
  STRATA_CHECK_OK(fields.finish());
  CopyOptions options;
  if (const Value* items = copy.child("items"); items != nullptr && !items->is_null())
    options.items = copy.integer("items");
  copy.require(options.items.value_or(1) > 0, "items",
               "expected a positive count, or null for all");
  options.other_speakers = copy.flag("other_speakers", true);
  options.vocoder = read_vocoder_choice(vocoder);
  STRATA_CHECK_OK(copy.finish());
  STRATA_CHECK_OK(vocoder.finish());
  return options;
}

std::string wav_of(std::string_view set, const Item& item) {
  return fmt::format("wavs/{}/{}.wav", set, item.id);
}

// Writes the copies of one item; its rows go to the end of `rows`.
class Copier {
 public:
  Copier(const Corpus& corpus, const std::filesystem::path& output, Vocoder vocoder,
         bool other_speakers)
      : corpus_(corpus), output_(output), vocoder_(std::move(vocoder)), front_(vocoder_.mel()) {
    if (other_speakers) others_ = corpus.of(Split::kReference);
  }

  Status copy(const Item& item, std::vector<AudioRow>& rows) {
    STRATA_TRY(const std::string prompt, write_prompt(corpus_, item, output_));
    AudioRow row{.id = item.id,
                 .set = "recordings",
                 .audio = wav_of("recordings", item),
                 .text = item.text,
                 .prompt = prompt,
                 .speaker = item.speaker,
                 .seconds = item.seconds()};
    STRATA_CHECK_OK(copy_audio(corpus_.audio_path(item), output_ / row.audio));
    rows.push_back(row);

    STRATA_TRY(const at::Tensor mel, read_mel(corpus_.audio_path(item), front_));
    STRATA_TRY(const std::vector<float> samples, vocoder_.speak(mel));
    row.set = "vocoder_copies";
    row.audio = wav_of(row.set, item);
    row.seconds = static_cast<double>(samples.size()) / vocoder_.mel().rate;
    STRATA_CHECK_OK(write_wav(output_ / row.audio, samples, vocoder_.mel().rate));
    rows.push_back(row);

    if (others_.empty()) return {};
    Random random(derive_seed(0, "other speaker/" + item.id));
    const Item& other = *others_[random.bounded(others_.size())];
    row.set = "other_speaker";
    row.audio = wav_of(row.set, item);
    row.text.reset();
    row.speaker = other.speaker;
    row.seconds = other.seconds();
    STRATA_CHECK_OK(copy_audio(corpus_.audio_path(other), output_ / row.audio));
    rows.push_back(row);
    return {};
  }

 private:
  const Corpus& corpus_;
  const std::filesystem::path& output_;
  Vocoder vocoder_;
  MelFrontEnd front_;
  std::vector<const Item*> others_{};
};

}  // namespace

Result<int> run_copy(const StageSpec& spec) {
  STRATA_TRY(const CopyOptions options, read_options(spec.parameters));
  STRATA_TRY(const auto corpus_folder, spec.input("corpus"));
  STRATA_TRY(const auto output, spec.output("audio"));
  STRATA_TRY(const Corpus corpus, read_corpus(corpus_folder));
  STRATA_TRY(const auto items, heldout_items(corpus, options.items));
  if (options.other_speakers && corpus.of(Split::kReference).empty()) {
    return fail(ErrorCode::kInvalid,
                "parameters.copy.other_speakers: the corpus {} has no reference items; name other "
                "speakers in corpus.others",
                corpus_folder.string());
  }
  STRATA_TRY(Vocoder vocoder, Vocoder::load(spec.models, options.vocoder));
  Copier copier(corpus, output, std::move(vocoder), options.other_speakers);
  for (const char* set : {"recordings", "vocoder_copies", "other_speaker"})
    STRATA_CHECK_OK(make_folder(output / "wavs" / set));
  STRATA_TRY(Progress progress, Progress::open(std::filesystem::current_path()));
  std::vector<AudioRow> rows;
  std::int64_t step = 0;
  for (const Item* item : items) {
    if (stop_requested()) return exit_code::kStopped;
    STRATA_CHECK_OK(copier.copy(*item, rows));
    STRATA_CHECK_OK(progress.report(++step, std::ssize(items)));
  }
  STRATA_CHECK_OK(write_audio_list(rows, output));
  log_info("copy", "{} items, {} recordings", items.size(), rows.size());
  return exit_code::kSucceeded;
}

}  // namespace strata::trainer
