#include "trainer/train_program.h"

#include <cstdio>

#include "base/files.h"
#include "base/json.h"
#include "base/log.h"
#include "base/torch/guard.h"
#include "base/torch/runtime.h"
#include "trainer/data/dataset.h"
#include "trainer/train_config.h"

namespace strata::trainer {
namespace {

constexpr std::int64_t kWeightsFormat = 1;
constexpr const char* kCheckpoints = "checkpoints";

Result<std::unique_ptr<Communicator>> connect(const StageSpec& spec) {
  if (!started_by_mpirun() && spec.ranks == 1) return make_single_communicator();
  if (!started_by_mpirun()) {
    return fail(ErrorCode::kInvalid, "the spec asks for {} ranks: start me with mpirun -n {}",
                spec.ranks, spec.ranks);
  }
  STRATA_TRY(auto communicator, make_mpi_communicator());
  if (communicator->size() != spec.ranks) {
    return fail(ErrorCode::kInvalid, "mpirun started {} ranks, the spec says {}",
                communicator->size(), spec.ranks);
  }
  return communicator;
}

Status write_weights(const std::filesystem::path& folder, const NamedTensors& weights,
                     const TrainSettings& settings, const TrainConfig& config, const Dataset& data,
                     std::int64_t update) {
  STRATA_CHECK_OK(make_folder(folder));
  STRATA_CHECK_OK(write_tensors(folder / "model.safetensors", weights));
  const Value about = Object{{"format", kWeightsFormat},
                             {"model", to_value(settings.model)},
                             {"vocabulary", data.vocabulary().format()},
                             {"mel", Object{{"kind", name_of(config.mel)},
                                            {"mean", data.normalise().mean},
                                            {"deviation", data.normalise().deviation}}},
                             {"update", update}};
  return write_file_atomic(folder / "model.json", to_pretty_json(about));
}

Status write_outputs(const StageSpec& spec, const TrainSettings& settings,
                     const TrainConfig& config, const Dataset& data, TrainingLoop& loop) {
  STRATA_CHECK_OK(write_weights(*spec.output("weights"), loop.last_weights(), settings, config,
                                data, config.options.updates));
  STRATA_CHECK_OK(write_weights(*spec.output("weights_early"), loop.early_weights(), settings,
                                config, data, config.options.early_update()));
  std::string lines;
  for (const Value& line : loop.validation_lines()) lines += to_canonical_json(line) + "\n";
  STRATA_CHECK_OK(make_folder(*spec.output("validation")));
  return write_file_atomic(*spec.output("validation") / "validation.jsonl", lines);
}

// Only rank 0 writes; the others have nobody to tell.
TrainHooks make_hooks(std::optional<Progress>& progress, const Value& recipe, std::int64_t total) {
  TrainHooks hooks;
  hooks.stop_requested = stop_requested;
  if (!progress) return hooks;
  hooks.progress = [&progress, total](std::int64_t update, const Metrics& metrics) {
    return progress->report(update, total, metrics);
  };
  hooks.checkpoint = [&progress, recipe](const TrainingState& state) -> Status {
    const std::filesystem::path folder =
        std::filesystem::path(kCheckpoints) / fmt::format("{:08}", state.update);
    STRATA_CHECK_OK(save_checkpoint(folder, recipe, state));
    return progress->announce_checkpoint(state.update, folder);
  };
  return hooks;
}

Result<int> train(const StageSpec& spec, TrainConfig config, Communicator& communicator) {
  // ---- the corpus, whole in every rank's memory
  STRATA_TRY(const std::filesystem::path corpus, spec.input("corpus"));
  const auto given = spec.inputs.find("features");
  const auto features = given == spec.inputs.end() ? std::nullopt : std::optional(given->second);
  STRATA_TRY(const Dataset data, Dataset::load(corpus, features, config.mel, config.normalise));
  STRATA_TRY(const TrainSettings settings, check_against(data, spec, config, communicator.size()));
  config.options.draw.dropout = settings.model.dropout;
  if (!config.zero_padding) config.options.padding = data.normalise().silence();
  // ---- the model, the same on every rank because its seed is
  STRATA_TRY(const auto model, from_torch("making the model", [&] {
               return std::make_shared<AcousticModel>(settings.model, settings.align,
                                                      config.options.seed);
             }));
  // ---- train
  std::optional<Progress> progress;
  if (communicator.rank() == 0) {
    STRATA_TRY(progress, Progress::open("."));
    log_info("trainer", "{} parameters, {} training and {} held-out utterances, {} ranks",
             model->parameter_count(), data.train().size(), data.heldout().size(),
             communicator.size());
  }
  const Value recipe =
      Object{{"parameters", spec.parameters}, {"seed", static_cast<std::int64_t>(*spec.seed)}};
  const SystemClock clock;
  TrainingLoop loop(*model, data.train(), data.heldout(), communicator, clock, config.options,
                    make_hooks(progress, recipe, config.options.updates));
  if (spec.resume) {
    STRATA_TRY(const TrainingState state, load_checkpoint(*spec.resume, recipe));
    STRATA_CHECK_OK(loop.restore(state));
    log_info("trainer", "resuming after update {}", state.update);
  }
  STRATA_TRY(const Ending ending, loop.run());
  // ---- leave
  switch (ending) {
    case Ending::kStopped: return exit_code::kStopped;
    case Ending::kDiverged: return exit_code::kDiverged;
    case Ending::kFinished: break;
  }
  if (communicator.rank() == 0) STRATA_CHECK_OK(write_outputs(spec, settings, config, data, loop));
  STRATA_CHECK_OK(communicator.barrier());
  return exit_code::kSucceeded;
}

}  // namespace

Result<int> end_together(Result<int> result, Communicator& communicator) {
  if (result || communicator.size() == 1) return result;
  std::fprintf(stderr, "strata-trainer: rank %d: %s\n", communicator.rank(),
               result.error().message.c_str());
  communicator.abandon(exit_code_of(result.error()));
  return result;
}

Result<int> run_train(const StageSpec& spec) {
  STRATA_TRY(TrainConfig config, read_train_config(spec));
  STRATA_CHECK_OK(set_up_torch(spec.threads));
  STRATA_TRY(const auto communicator, connect(spec));
  return end_together(train(spec, std::move(config), *communicator), *communicator);
}

}  // namespace strata::trainer
