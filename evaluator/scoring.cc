#include "evaluator/scoring.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>

#include "base/assert.h"
#include "base/audio/audio_file.h"
#include "base/audio/resample.h"
#include "base/files.h"
#include "base/json.h"
#include "base/log.h"
#include "base/sha256.h"
#include "evaluator/audio_list.h"

namespace strata::evaluator {
namespace {

constexpr const char* kLinesName = "utterances.jsonl";
constexpr const char* kRoom = "evaluator";
constexpr std::size_t kFailuresNamed = 20;  // in the error that ends a run

// Of this recording, prompt or text, and the same at a second try; else of the machine, and others
// would fail as well.
bool is_of_the_recording(const Error& error) {
  return error.code == ErrorCode::kInvalid || error.code == ErrorCode::kNotFound ||
         error.code == ErrorCode::kUnsupported || error.code == ErrorCode::kTooLarge;
}

struct Heard {
  std::vector<float> samples{};  // at kJudgeRate
  double seconds = 0;            // of the file
};

Result<Heard> hear(const std::filesystem::path& path) {
  STRATA_TRY(const Audio audio, read_audio(path));
  return Heard{.samples = resample(audio.samples, audio.rate, kJudgeRate),
               .seconds = audio.seconds()};
}

class Scoring {
 public:
  Scoring(const ScoreSpec& spec, const Judges& judges, const ScoringContext& context)
      : spec_(spec), judges_(judges), context_(context) {
    if (judges.asr) infos_.push_back(judges.asr->info());
    if (judges.speaker) infos_.push_back(judges.speaker->info());
    if (judges.mos) infos_.push_back(judges.mos->info());
  }

  Result<ScoringEnd> run() {
    STRATA_CHECK_OK(read_inputs());
    STRATA_CHECK_OK(read_kept_lines());
    STRATA_TRY(const bool finished, score_all());
    if (!finished) return ScoringEnd::kStopped;
    STRATA_CHECK_OK(write_report());
    return ScoringEnd::kDone;
  }

 private:
  Status read_inputs();
  Status read_kept_lines();
  Status keep_matching(const std::filesystem::path& path);
  Result<bool> score_all();
  Status score_one(std::size_t place);
  Status add_transcript(const ListRow& row, const Transcript& transcript,
                        UtteranceScore& score) const;
  Result<double> similarity(const ListRow& row, Samples recording);
  Status announce_progress(double started, std::size_t before);
  Status write_checkpoint();
  Status write_report();
  [[nodiscard]] Error failures() const;
  [[nodiscard]] Result<std::string> key_of(const ListRow& row) const;
  [[nodiscard]] std::string lines_text() const;
  [[nodiscard]] std::size_t count_done() const {
    return static_cast<std::size_t>(
        std::ranges::count_if(done_, [](const auto& d) { return d.has_value(); }));
  }

  const ScoreSpec& spec_;
  const Judges& judges_;
  const ScoringContext& context_;
  std::vector<JudgeInfo> infos_;
  std::vector<ListRow> rows_;
  std::vector<std::string> keys_;                    // of rows_
  std::vector<std::optional<UtteranceScore>> done_;  // of rows_
  std::vector<ValidationLoss> validation_;
  std::map<std::string, std::vector<float>> prompts_;  // prompt file -> embedding
  std::optional<LineAppender> lines_;
  std::optional<LineAppender> progress_;
  std::size_t checkpointed_ = 0;
  std::vector<std::string> failures_;  // recordings that cannot be scored, and why
};

Status Scoring::read_inputs() {
  rows_ = spec_.rows;
  if (rows_.empty()) {
    STRATA_TRY(rows_, read_audio_list(spec_.audio, spec_.sets));
  }
  if (spec_.corpus) {
    STRATA_TRY(const std::string manifest, read_file(*spec_.corpus / "manifest.jsonl"));
    STRATA_CHECK_OK(check_texts(rows_, manifest, spec_.protocol.protocol));
  }
  if (spec_.validation) {
    STRATA_TRY(validation_, read_validation(*spec_.validation));
  }
  for (const ListRow& row : rows_) {
    STRATA_TRY(std::string key, key_of(row));
    keys_.push_back(std::move(key));
  }
  done_.resize(rows_.size());
  return {};
}

// Everything that decides the line of a row. A line of an earlier run is taken only if nothing of
// this has changed.
Result<std::string> Scoring::key_of(const ListRow& row) const {
  STRATA_TRY(std::string audio, sha256_file(row.audio_file));
  Object key{{"scoring", kScoringVersion},
             {"id", row.id},
             {"set", row.set},
             {"speaker", row.speaker},
             {"audio", std::move(audio)},
             {"protocol", spec_.protocol.name},
             {"protocol_version", spec_.protocol.version}};
  if (row.text) key["text"] = *row.text;
  if (row.prompt) {
    STRATA_TRY(key["prompt"], sha256_file(row.prompt_file));
  }
  for (const JudgeInfo& info : infos_) {
    key[info.role] =
        Object{{"name", info.name}, {"version", info.version}, {"identity", info.identity}};
  }
  return sha256_hex(to_canonical_json(key));
}

Status Scoring::keep_matching(const std::filesystem::path& path) {
  std::error_code error;
  if (!std::filesystem::exists(path, error)) return {};
  STRATA_TRY(const std::string text, read_file(path));
  std::map<std::pair<std::string, std::string>, std::size_t> places;
  for (std::size_t i = 0; i < rows_.size(); ++i) places[{rows_[i].set, rows_[i].id}] = i;
  std::size_t dropped = 0;
  for (std::size_t begin = 0; begin < text.size();) {
    const auto end = std::min(text.find('\n', begin), text.size());
    const auto value = parse_json(std::string_view(text).substr(begin, end - begin));
    begin = end + 1;
    auto line = value ? utterance_score_from(*value)
                      : Result<UtteranceScore>(tl::unexpected(value.error()));
    const auto place = line ? places.find({line->set, line->id}) : places.end();
    if (place == places.end() || line->key != keys_[place->second]) {
      ++dropped;  // a torn last line, or one whose recording, text or judge has changed
    } else {
      done_[place->second] = std::move(*line);
    }
  }
  if (dropped > 0)
    log_warning(kRoom, "{}: {} lines do not fit this task and are scored again", path.string(),
                dropped);
  return {};
}

Status Scoring::read_kept_lines() {
  STRATA_CHECK_OK(make_folder(spec_.report));
  if (spec_.resume) STRATA_CHECK_OK(keep_matching(*spec_.resume / kLinesName));
  STRATA_CHECK_OK(keep_matching(spec_.report / kLinesName));
  const std::size_t kept = count_done();
  checkpointed_ = kept;
  if (kept > 0) log_info(kRoom, "{} of {} recordings are scored already", kept, rows_.size());
  // Whole lines only, from here on appended to.
  STRATA_CHECK_OK(write_file_atomic(spec_.report / kLinesName, lines_text()));
  STRATA_TRY(lines_, LineAppender::open(spec_.report / kLinesName));
  STRATA_TRY(progress_, LineAppender::open(context_.attempt / "progress.jsonl"));
  return {};
}

std::string Scoring::lines_text() const {
  std::string text;
  for (const auto& done : done_) {
    if (done) text += to_canonical_json(to_value(*done)) + "\n";
  }
  return text;
}

// False when it was asked to stop first.
Result<bool> Scoring::score_all() {
  const double started = context_.seconds();
  const std::size_t before = count_done();
  for (std::size_t place = 0; place < rows_.size(); ++place) {
    if (done_[place]) continue;
    if (context_.stop_requested()) {
      STRATA_CHECK_OK(write_checkpoint());
      return false;
    }
    if (const Status scored = score_one(place); !scored) {
      if (!is_of_the_recording(scored.error())) return tl::unexpected(scored.error());
      log_error(kRoom, "{}", scored.error().message);
      failures_.push_back(scored.error().message);
      continue;
    }
    STRATA_CHECK_OK(announce_progress(started, before));
    if (count_done() >= checkpointed_ + kCheckpointEvery && count_done() < rows_.size())
      STRATA_CHECK_OK(write_checkpoint());
  }
  if (failures_.empty()) return true;
  STRATA_CHECK_OK(write_checkpoint());
  return tl::unexpected(failures());
}

// What has been scored is kept: mended and started again, the run scores the rest.
Error Scoring::failures() const {
  std::string named;
  for (std::size_t i = 0; i < std::min(kFailuresNamed, failures_.size()); ++i)
    named += "\n  " + failures_[i];
  if (failures_.size() > kFailuresNamed)
    named += fmt::format("\n  and {} more", failures_.size() - kFailuresNamed);
  return {ErrorCode::kInvalid,
          fmt::format("{} of {} recordings cannot be scored, so there is no report; mend or take "
                      "them from the list and start again, the other lines are kept:{}",
                      failures_.size(), rows_.size(), named)};
}

Status Scoring::score_one(std::size_t place) {
  const ListRow& row = rows_[place];
  const auto path = row.audio_file.string();
  const auto about = [&](const Error& error) { return tl::unexpected(error.while_doing(path)); };
  STRATA_TRY(const Heard heard, hear(path));
  UtteranceScore score{.id = row.id,
                       .set = row.set,
                       .speaker = row.speaker,
                       .seconds = heard.seconds,
                       .key = keys_[place],
                       .reference = row.text};
  if (judges_.asr && row.text) {
    const Samples recording(heard.samples);
    auto transcripts = judges_.asr->transcribe(std::span(&recording, 1));
    if (!transcripts) return about(transcripts.error());
    STRATA_CHECK_OK(add_transcript(row, transcripts->at(0), score));
  }
  if (judges_.speaker && row.prompt) {
    STRATA_TRY(score.sim_o, similarity(row, heard.samples));
  }
  if (judges_.mos) {
    auto mos = judges_.mos->rate(heard.samples);
    if (!mos) return about(mos.error());
    score.mos = *mos;
  }
  done_[place] = std::move(score);
  return lines_->append(to_canonical_json(to_value(*done_[place])));
}

Status Scoring::add_transcript(const ListRow& row, const Transcript& transcript,
                               UtteranceScore& score) const {
  score.hypothesis = transcript.text;
  score.no_speech_prob = transcript.no_speech_prob;
  score.windows = transcript.windows;
  auto reference = normalize(spec_.protocol.protocol, *row.text);
  if (!reference)
    return tl::unexpected(reference.error().while_doing(fmt::format("text of \"{}\"", row.id)));
  score.normalized_reference = std::move(*reference);
  STRATA_TRY(score.normalized_hypothesis, normalize(spec_.protocol.protocol, transcript.text));
  STRATA_TRY(score.words, count_words(score.normalized_reference, score.normalized_hypothesis));
  return {};
}

Result<double> Scoring::similarity(const ListRow& row, Samples recording) {
  auto prompt = prompts_.find(*row.prompt);
  if (prompt == prompts_.end()) {
    STRATA_TRY(const Heard heard, hear(row.prompt_file));
    auto embedding = judges_.speaker->embed(heard.samples);
    if (!embedding) return tl::unexpected(embedding.error().while_doing(row.prompt_file.string()));
    prompt = prompts_.emplace(*row.prompt, std::move(*embedding)).first;
  }
  auto embedding = judges_.speaker->embed(recording);
  if (!embedding) return tl::unexpected(embedding.error().while_doing(row.audio_file.string()));
  return cosine(*embedding, prompt->second);
}

Status Scoring::announce_progress(double started, std::size_t before) {
  const std::size_t done = count_done();
  Object line{{"step", static_cast<std::int64_t>(done)},
              {"total", static_cast<std::int64_t>(rows_.size())}};
  const double seconds = context_.seconds() - started;
  if (seconds > 0) {
    line["metrics"] = Object{{"recordings_per_second",
                              (static_cast<double>(done) - static_cast<double>(before)) / seconds}};
  }
  return progress_->append(to_canonical_json(line));
}

Status Scoring::write_checkpoint() {
  if (!context_.checkpoints) return {};
  const std::size_t done = count_done();
  const std::string name = fmt::format("checkpoints/{:08}", done);
  STRATA_CHECK_OK(make_folder(context_.attempt / name));
  STRATA_CHECK_OK(write_file_atomic(context_.attempt / name / kLinesName, lines_text()));
  checkpointed_ = done;
  return progress_->append(
      to_canonical_json(Object{{"step", static_cast<std::int64_t>(done)}, {"checkpoint", name}}));
}

Status Scoring::write_report() {
  ReportInput input{.protocol = spec_.protocol,
                    .judges = infos_,
                    .list_sha256 = list_hash(rows_),
                    .bootstrap = spec_.bootstrap,
                    .validation = validation_,
                    .target_loss = spec_.target_loss,
                    .environment = context_.environment};
  for (const auto& done : done_) input.utterances.push_back(*done);
  input.environment["resampler"] = fmt::format("torchaudio sinc Hann 6/0.99 to {} Hz", kJudgeRate);
  STRATA_TRY(const Report report, make_report(std::move(input)));
  lines_.reset();
  // In the order of the list, whatever order the lines came in.
  STRATA_CHECK_OK(write_file_atomic(spec_.report / kLinesName, lines_text()));
  STRATA_CHECK_OK(
      write_file_atomic(spec_.report / "report.json", to_pretty_json(report.summary) + "\n"));
  return write_file_atomic(context_.attempt / "scores.json",
                           to_canonical_json(scores_value(report.scores)) + "\n");
}

}  // namespace

double cosine(std::span<const float> a, std::span<const float> b) {
  STRATA_ASSERT(a.size() == b.size());
  double dot = 0;
  double aa = 0;
  double bb = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double x = static_cast<double>(a[i]);
    const double y = static_cast<double>(b[i]);
    dot += x * y;
    aa += x * x;
    bb += y * y;
  }
  STRATA_ASSERT(aa > 0);
  STRATA_ASSERT(bb > 0);
  return dot / std::sqrt(aa * bb);
}

Result<ScoringEnd> run_scoring(const ScoreSpec& spec, const Judges& judges,
                               const ScoringContext& context) {
  return Scoring(spec, judges, context).run();
}

}  // namespace strata::evaluator
