// A small corpus of tones and attempt folders in which `strata-trainer` runs over it, for the tests
// that start it as a process.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <cmath>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <numbers>
#include <string>
#include <vector>

#include "base/audio/audio_file.h"
#include "base/files.h"
#include "base/json.h"
#include "base/random.h"
#include "base/subprocess.h"

namespace strata {

// One thread each, and ranks that leave the cores to others while they wait.
inline void share_the_machine() {
  ::setenv("OMP_NUM_THREADS", "1", 1);
  ::setenv("OMPI_ALLOW_RUN_AS_ROOT", "1", 1);
  ::setenv("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1", 1);
  ::setenv("OMPI_MCA_mpi_yield_when_idle", "1", 1);
}

// Parameters of `prepare` for `count` tones of changing pitch and a little noise, something to
// learn from, which are written into `folder` with their list. Three of them are held out.
inline Object tone_corpus(const std::filesystem::path& folder, int count,
                          const std::function<std::string(int)>& text_of) {
  std::string list;
  Random random(5);
  EXPECT_TRUE(make_folder(folder));
  for (int i = 0; i < count; ++i) {
    std::vector<float> samples;
    for (int n = 0; n < 16'000 * (6 + i % 4) / 10; ++n) {
      const double hz = 150 + 30 * i + 0.01 * n;
      samples.push_back(static_cast<float>(0.4 * std::sin(2 * std::numbers::pi * hz * n / 16'000) +
                                           0.02 * (random.uniform() - 0.5)));
    }
    const std::string name = "tone" + std::to_string(i) + ".wav";
    EXPECT_TRUE(write_wav(folder / name, samples, 16'000));
    list +=
        to_canonical_json(Object{{"audio", name}, {"speaker", "ann"}, {"text", text_of(i)}}) + "\n";
  }
  EXPECT_TRUE(write_file_unsynced(folder / "list.jsonl", list));
  return Object{{"corpus", Object{{"kind", "list"},
                                  {"file", (folder / "list.jsonl").string()},
                                  {"seconds", Array{0.5, 2.0}},
                                  {"heldout", 3}}}};
}

// "tone a", "tone b", ...
inline std::string tone_letter(int i) { return std::string("tone ") + static_cast<char>('a' + i); }

inline Value tone_model(std::int64_t depth, std::int64_t conv_layers) {
  return Object{{"dim", 32},      {"depth", depth}, {"heads", 2},
                {"dim_head", 16}, {"text_dim", 16}, {"conv_layers", conv_layers},
                {"dropout", 0.1}};
}

// Where a training writes, in an attempt folder.
inline Object training_outputs(const std::filesystem::path& attempt) {
  Object outputs;
  for (const char* output : {"weights", "weights_early", "validation"})
    outputs.emplace(output, (attempt / "out" / output).string());
  return outputs;
}

// Makes the attempt's folder, with the specification in it.
inline void write_spec(const std::filesystem::path& attempt, Object spec, std::int64_t ranks = 1) {
  spec.emplace("contract", 1);
  spec.emplace("seed", 3);
  spec.emplace("ranks", ranks);
  ASSERT_TRUE(make_folder(attempt / "out"));
  ASSERT_TRUE(write_file_unsynced(attempt / "spec.json", to_pretty_json(Value(std::move(spec)))));
}

// strata-trainer's subcommand on that specification, in a session of its own; what it prints goes
// to log.txt.
inline Command trainer_command(const std::filesystem::path& attempt, const std::string& subcommand,
                               std::int64_t ranks = 1) {
  std::filesystem::remove(attempt / "log.txt");  // of an earlier life in this folder
  Command command{.argv = {STRATA_BINARY_DIR "/bin/strata-trainer", subcommand,
                           (attempt / "spec.json").string()},
                  .folder = attempt,
                  .stdout_file = attempt / "log.txt",
                  .stderr_file = attempt / "log.txt",
                  .own_session = true};
  if (ranks > 1) {
    const std::vector<std::string> mpirun{"mpirun",          "-n",        std::to_string(ranks),
                                          "--oversubscribe", "--bind-to", "none"};
    command.argv.insert(command.argv.begin(), mpirun.begin(), mpirun.end());
  }
  return command;
}

}  // namespace strata
