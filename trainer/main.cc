// strata-trainer: the training program of Strata. Each subcommand is a stage that keeps
// docs/stages.md, or a tool.
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <string_view>

#include "base/subprocess.h"
#include "base/torch/runtime.h"
#include "trainer/check_program.h"
#include "trainer/checkpoint_export.h"
#include "trainer/copy.h"
#include "trainer/data/extract.h"
#include "trainer/data/prepare.h"
#include "trainer/initial_weights.h"
#include "trainer/probe.h"
#include "trainer/progress.h"
#include "trainer/stage_spec.h"
#include "trainer/synthesize.h"
#include "trainer/train_program.h"
#include "trainer/weights_program.h"

namespace {

// Runs a stage that gives back its own exit code, and says on standard error why it could not.
template <strata::Result<int> (*kStage)(const strata::trainer::StageSpec&)>
int run_stage(const std::filesystem::path& file) {
  strata::trainer::listen_for_stop_request();
  const auto code = strata::trainer::read_stage_spec(file).and_then(kStage);
  if (code) return *code;
  std::fprintf(stderr, "strata-trainer: %s\n", code.error().message.c_str());
  return strata::trainer::exit_code_of(code.error());
}

// For stages that leave torch as they find it; it may be set up once in a process only.
template <strata::Result<int> (*kStage)(const strata::trainer::StageSpec&)>
strata::Result<int> with_torch(const strata::trainer::StageSpec& spec) {
  STRATA_CHECK_OK(strata::set_up_torch(spec.threads));
  return kStage(spec);
}

// One row for each subcommand: `run` takes the JSON file it is given and returns the exit code.
struct Subcommand {
  std::string_view name;
  std::string_view help;
  int (*run)(const std::filesystem::path& file);
};

constexpr Subcommand kSubcommands[] = {
    {"prepare", "recordings and transcripts in, a corpus out",
     run_stage<strata::trainer::run_prepare>},
    {"extract", "what a speech teacher hears in every recording",
     run_stage<with_torch<strata::trainer::run_extract>>},
    {"synthesize", "a trained model speaks the held-out texts",
     run_stage<with_torch<strata::trainer::run_synthesize>>},
    {"copy", "recordings, vocoder copies and other speakers to compare with",
     run_stage<with_torch<strata::trainer::run_copy>>},
    {"check-spec", "read a stage spec and say whether it is well formed",
     [](const std::filesystem::path& file) {
       const auto spec = strata::trainer::read_stage_spec(file);
       if (!spec) std::fprintf(stderr, "strata-trainer: %s\n", spec.error().message.c_str());
       return spec ? strata::trainer::exit_code::kSucceeded
                   : strata::trainer::exit_code_of(spec.error());
     }},
    {"import", "weights that a training starts from",
     run_stage<with_torch<strata::trainer::run_import>>},
    {"train", "a model from a corpus, with checkpoints", run_stage<strata::trainer::run_train>},
    {"check", "whether a training can work, before it begins; --json behind the file: for programs",
     [](const std::filesystem::path& file) { return strata::trainer::run_check(file, false); }},
    {"export", "the weights of a checkpoint, for inference", strata::trainer::run_export},
    {"probe",
     "losses, gradients and values of a tiny model, for comparison with other implementations",
     strata::trainer::run_probe},
    {"weights", "weights of F5-TTS, E2-TTS and A-DMA in and out", strata::trainer::run_weights},
};

int usage() {
  std::fprintf(stderr, "usage: strata-trainer SUBCOMMAND FILE.json [--json]\n\n");
  for (const Subcommand& subcommand : kSubcommands) {
    std::fprintf(stderr, "  %-12.*s %.*s\n", static_cast<int>(subcommand.name.size()),
                 subcommand.name.data(), static_cast<int>(subcommand.help.size()),
                 subcommand.help.data());
  }
  return strata::trainer::exit_code::kInvalid;
}

}  // namespace

int main(int argc, char** argv) {
  // Under mpirun our parent is the daemon of this node; without one it is the worker. Either way we
  // do not outlive it.
  strata::die_with_parent(SIGKILL);
  const std::string_view name = argc > 1 ? argv[1] : "";
  if (argc == 4 && name == "check" && std::string_view(argv[3]) == "--json")
    return strata::trainer::run_check(argv[2], true);
  if (argc != 3) return usage();
  for (const Subcommand& subcommand : kSubcommands) {
    if (subcommand.name == name) return subcommand.run(argv[2]);
  }
  return usage();
}
