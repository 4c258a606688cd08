// Small trees of the shape of LibriTTS and LibriSpeech, with tones for voices.
#pragma once

#include <sndfile.h>

#include <algorithm>
#include <string>
#include <vector>

#include "tests/unit/trainer/data/corpus_fixture.h"
#include "trainer/data/manifest.h"

namespace strata::trainer {

inline void write_flac(const std::filesystem::path& path, const std::vector<float>& samples,
                       int rate) {
  SF_INFO info{};
  info.samplerate = rate;
  info.channels = 1;
  info.format = SF_FORMAT_FLAC | SF_FORMAT_PCM_16;
  SNDFILE* file = sf_open(path.c_str(), SFM_WRITE, &info);
  ASSERT_NE(file, nullptr) << sf_strerror(nullptr);
  EXPECT_EQ(sf_writef_float(file, samples.data(), std::ssize(samples)), std::ssize(samples));
  sf_close(file);
}

class LibriFixture : public CorpusFixture {
 protected:
  // LibriTTS: <set>/<speaker>/<chapter>/<id>.wav at 24 kHz, and the transcript beside it. No
  // samples: no recording.
  void add_tts(const std::string& set, const std::string& id, std::size_t samples,
               const std::string& text) {
    const auto first = id.find('_');
    const auto second = id.find('_', first + 1);
    const auto chapter =
        folder_ / "LibriTTS" / set / id.substr(0, first) / id.substr(first + 1, second - first - 1);
    std::filesystem::create_directories(chapter);
    const std::vector<float> sound(samples, 0.001F * static_cast<float>(++sounds_));
    const auto transcript = chapter / (id + ".normalized.txt");
    EXPECT_TRUE(samples == 0 || write_wav(chapter / (id + ".wav"), sound, 24'000).has_value());
    EXPECT_TRUE(text.empty() || write_file_atomic(transcript, text).has_value());
    EXPECT_TRUE(write_file_atomic(chapter / (id + ".original.txt"), "not read").has_value());
  }

  // LibriSpeech: <set>/<speaker>/<chapter>/<id>.flac at 16 kHz.
  void add_flac(const std::string& set, const std::string& id, std::size_t samples) {
    const auto first = id.find('-');
    const auto second = id.find('-', first + 1);
    const auto chapter = folder_ / "LibriSpeech" / set / id.substr(0, first) /
                         id.substr(first + 1, second - first - 1);
    std::filesystem::create_directories(chapter);
    write_flac(chapter / (id + ".flac"),
               tone(100 + 30 * ++sounds_, static_cast<double>(samples) / 16'000, 16'000), 16'000);
  }

  void write(const std::filesystem::path& path, const std::string& text) {
    ASSERT_TRUE(write_file_atomic(folder_ / path, text).has_value());
  }

  // Three sets, two speakers each of the first: 12 utterances that can be used.
  void make_tts_tree() {
    for (const std::string set : {"train-clean-100", "train-clean-360", "train-other-500"}) {
      const std::string speaker = set == "train-clean-100"   ? "103"
                                  : set == "train-clean-360" ? "14"
                                                             : "20";
      for (int i = 0; i < 4; ++i) {
        add_tts(set, speaker + "_1240_000000_00000" + std::to_string(i),
                static_cast<std::size_t>(12'000 + 1'000 * i),
                "  \"Yes,\" said " + speaker.substr(0, 1) + "\xC3\xA9.\n");
      }
    }
  }

  StageSpec spec_of(Object corpus, const std::string& output = "corpus") {
    StageSpec spec;
    spec.parameters = Object{{"corpus", std::move(corpus)}};
    spec.outputs.emplace("corpus", folder_ / output);
    return spec;
  }

  Corpus prepared(Object corpus, const std::string& output = "corpus") {
    const auto code = run_prepare(spec_of(std::move(corpus), output));
    EXPECT_TRUE(code.has_value()) << code.error().message;
    auto read = read_corpus(folder_ / output);
    EXPECT_TRUE(read.has_value()) << read.error().message;
    return read ? *read : Corpus{};
  }

  std::string refused(Object corpus) {
    const auto code = run_prepare(spec_of(std::move(corpus), "refused"));
    EXPECT_FALSE(code.has_value());
    EXPECT_FALSE(std::filesystem::exists(folder_ / "refused" / "manifest.jsonl"));
    return code ? "" : code.error().message;
  }

  Value report(const std::string& output = "corpus") {
    return *parse_json(*read_file(folder_ / output / "report.json"));
  }

 private:
  int sounds_ = 0;
};

inline std::vector<std::string> ids_in(const Corpus& corpus, Split split) {
  std::vector<std::string> ids;
  for (const Item* item : corpus.of(split)) ids.push_back(item->id);
  return ids;
}

}  // namespace strata::trainer
