// A small corpus on disk, made by `prepare` from tones that it writes itself.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <map>
#include <numbers>
#include <string>
#include <vector>

#include "base/audio/audio_file.h"
#include "base/files.h"
#include "base/json.h"
#include "trainer/data/prepare.h"

namespace strata::trainer {

inline std::vector<float> tone(double hz, double seconds, int rate) {
  std::vector<float> samples;
  for (int n = 0; n < static_cast<int>(seconds * rate); ++n) {
    samples.push_back(static_cast<float>(0.4 * std::sin(2 * std::numbers::pi * hz * n / rate) *
                                         (1 + 0.3 * std::sin(n * 0.001))));
  }
  return samples;
}

inline std::map<std::string, std::string> all_files(const std::filesystem::path& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file())
      files[std::filesystem::relative(entry.path(), folder).string()] = *read_file(entry.path());
  }
  return files;
}

// The working folder is a fresh attempt folder during each test.
class CorpusFixture : public ::testing::Test {
 protected:
  void SetUp() override {
    before_ = std::filesystem::current_path();
    folder_ = *make_temporary_folder(std::filesystem::temp_directory_path(), "strata-corpus-");
    std::filesystem::create_directories(folder_ / "attempt");
    std::filesystem::current_path(folder_ / "attempt");
  }
  void TearDown() override {
    std::filesystem::current_path(before_);
    std::filesystem::remove_all(folder_);
  }

  // Writes `count` tones of one speaker and two of another, and a list of them.
  std::filesystem::path write_list(int count) {
    const std::vector<std::string> words{"One.",         "Two three.", "Four five?", "Six",
                                         "Seven, eight", "Nine ten.",  "Eleven",     "Twelve!"};
    std::filesystem::create_directories(folder_ / "source");
    std::string list;
    for (int i = 0; i < count + 2; ++i) {
      const std::string name = "clip" + std::to_string(i) + ".wav";
      const int rate = i % 2 == 0 ? 16'000 : 24'000;
      EXPECT_TRUE(
          write_wav(folder_ / "source" / name, tone(200 + 40 * i, 0.6 + 0.1 * (i % 4), rate), rate)
              .has_value());
      Object line{{"audio", name}, {"speaker", i < count ? "ann" : "bob"}};
      if (i < count)
        line.emplace("text",
                     words[static_cast<std::size_t>(i) % words.size()] + (i >= 8 ? " again" : ""));
      if (i >= count) line.emplace("reference", true);
      list += to_canonical_json(line) + "\n";
    }
    EXPECT_TRUE(write_file_atomic(folder_ / "source" / "list.jsonl", list).has_value());
    return folder_ / "source" / "list.jsonl";
  }

  // The spec of a `prepare` of that list into `corpus`.
  StageSpec prepare_spec(const std::filesystem::path& list, const std::string& corpus = "corpus",
                         int heldout = 2) {
    StageSpec spec;
    spec.parameters = Object{{"corpus", Object{{"kind", "list"},
                                               {"file", list.string()},
                                               {"seconds", Array{0.5, 2.0}},
                                               {"heldout", heldout}}}};
    spec.outputs.emplace("corpus", folder_ / corpus);
    return spec;
  }

  std::filesystem::path make_corpus(int count = 6, int heldout = 2) {
    const auto code = run_prepare(prepare_spec(write_list(count), "corpus", heldout));
    EXPECT_TRUE(code.has_value()) << code.error().message;
    return folder_ / "corpus";
  }

  std::filesystem::path folder_;

 private:
  std::filesystem::path before_;
};

}  // namespace strata::trainer
