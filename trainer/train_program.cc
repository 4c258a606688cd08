#include "trainer/train_program.h"

#include <cstdio>
#include <cstdlib>

#include "base/files.h"
#include "base/json.h"
#include "base/log.h"
#include "base/torch/guard.h"
#include "base/torch/runtime.h"
#include "trainer/check_program.h"
#include "trainer/checkpoint_choice.h"
#include "trainer/checkpoint_recipe.h"
#include "trainer/data/dataset.h"
#include "trainer/data/memory_budget.h"
#include "trainer/initial_weights.h"
#include "trainer/train_config.h"
#include "trainer/trained_model.h"

namespace strata::trainer {
namespace {

// Set by a worker, which copies the checkpoints that it is told of (docs/stages.md).
constexpr const char* kWorkerVariable = "STRATA_ATTEMPT";

}  // namespace

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

namespace {

Status write_outputs(const StageSpec& spec, const ModelDescription& description,
                     const TrainOptions& options, TrainingLoop& loop) {
  STRATA_CHECK_OK(write_trained_model(*spec.output("weights"), loop.last_weights(), description,
                                      options.updates));
  STRATA_CHECK_OK(write_trained_model(*spec.output("weights_early"), loop.early_weights(),
                                      description, options.early_update()));
  std::string lines;
  for (const Value& line : loop.validation_lines()) lines += to_canonical_json(line) + "\n";
  STRATA_CHECK_OK(make_folder(*spec.output("validation")));
  return write_file_atomic(*spec.output("validation") / "validation.jsonl", lines);
}

// What rank 0 writes while it trains.
struct Reports {
  Progress progress;
  CheckpointFolder checkpoints;
  // The last held-out metrics, and the update at which they were measured.
  Metrics heldout{};
  std::int64_t heldout_at = -1;

  Status tell(std::int64_t update, std::int64_t total, const Metrics& metrics) {
    if (metrics.contains("validation_loss")) {
      heldout = metrics;
      heldout_at = update;
    }
    return progress.report(update, total, metrics);
  }
  Status keep(const TrainingState& state) {
    STRATA_TRY(const auto folder,
               checkpoints.save(state, heldout_at == state.update ? heldout : Metrics{}));
    STRATA_CHECK_OK(progress.announce_checkpoint(state.update, folder));
    checkpoints.keep_to_policy();
    return {};
  }
};

// Only rank 0 writes; the others have nobody to tell.
TrainHooks make_hooks(std::optional<Reports>& reports, std::int64_t total) {
  TrainHooks hooks;
  hooks.stop_requested = stop_requested;
  if (!reports) return hooks;
  hooks.progress = [&reports, total](std::int64_t update, const Metrics& metrics) {
    return reports->tell(update, total, metrics);
  };
  hooks.checkpoint = [&reports](const TrainingState& state) { return reports->keep(state); };
  return hooks;
}

Status resume(const StageSpec& spec, const Value& recipe, Communicator& communicator,
              TrainingLoop& loop) {
  if (!spec.resume) {
    if (communicator.rank() == 0) warn_of_unused_checkpoints();
    return {};
  }
  STRATA_TRY(const auto chosen, choose_together(*spec.resume, recipe, communicator));
  if (!chosen) return {};
  STRATA_CHECK_OK(loop.restore(chosen->state));
  log_info("trainer", "resuming after update {} from {}", chosen->state.update,
           chosen->folder.string());
  return {};
}

CorpusSizes sizes_of(const Dataset& data) {
  return {.vocabulary = static_cast<std::int64_t>(data.vocabulary().size()),
          .feature_width =
              data.feature_width() > 0 ? std::optional(data.feature_width()) : std::nullopt};
}

Result<int> train(const StageSpec& spec, TrainConfig config, Communicator& communicator) {
  // ---- what cannot work, before anything takes time
  STRATA_CHECK_OK(check_before_training(spec, config, communicator.rank(), communicator.size()));
  // ---- the corpus, in every rank's memory as far as it fits
  STRATA_TRY(const std::filesystem::path corpus, spec.input("corpus"));
  const auto given = spec.inputs.find("features");
  const auto features = given == spec.inputs.end() ? std::nullopt : std::optional(given->second);
  const std::int64_t memory = config.loading.memory.value_or(
      dataset_memory(ranks_here(communicator.size()), machine_memory()));
  STRATA_TRY(const Dataset data, Dataset::load(corpus, features,
                                               {.mel = config.mel,
                                                .normalise = config.normalise,
                                                .memory = memory,
                                                .threads = config.loading.threads,
                                                .ranks = &communicator,
                                                .stop_requested = stop_requested}));
  if (data.was_stopped()) return exit_code::kStopped;
  STRATA_TRY(const TrainSettings settings, read_settings(spec, config, sizes_of(data)));
  config.options.draw.dropout = settings.model.dropout;
  if (!config.zero_padding) config.options.padding = data.normalise().silence();
  // ---- the model, the same on every rank because its seed is
  STRATA_TRY(const auto model, from_torch("making the model", [&] {
               return std::make_shared<AcousticModel>(settings.model, settings.align,
                                                      config.options.seed);
             }));
  const ModelDescription description{.model = settings.model,
                                     .vocabulary = data.vocabulary(),
                                     .mel = config.mel,
                                     .normalise = data.normalise()};
  std::string init;  // of weights that are given
  if (const auto folder = spec.inputs.find("init"); folder != spec.inputs.end()) {
    STRATA_TRY(init, start_from(folder->second, description, *model));
  }
  // ---- train
  const Value recipe = recipe_of(spec.parameters, *spec.seed, init);
  const SystemClock clock;
  std::optional<Reports> reports;
  if (communicator.rank() == 0) {
    STRATA_TRY(Progress progress, Progress::open("."));
    reports.emplace(Reports{
        .progress = std::move(progress),
        .checkpoints = CheckpointFolder(kCheckpoints, recipe, to_value(description), config.keep,
                                        std::getenv(kWorkerVariable) != nullptr, clock)});
    log_info("trainer", "{} parameters, {} training and {} held-out utterances, {} ranks",
             model->parameter_count(), data.train().size(), data.heldout().size(),
             communicator.size());
  }
  TrainingLoop loop(*model, data.train(), data.heldout(), communicator, clock, config.options,
                    make_hooks(reports, config.options.updates), &data.source());
  STRATA_CHECK_OK(resume(spec, recipe, communicator, loop));
  STRATA_TRY(const Ending ending, loop.run());
  // ---- leave
  switch (ending) {
    case Ending::kStopped: return exit_code::kStopped;
    case Ending::kDiverged: return exit_code::kDiverged;
    case Ending::kFinished: break;
  }
  if (reports) {
    STRATA_CHECK_OK(write_outputs(spec, description, config.options, loop));
    reports->checkpoints.clean_up();
  }
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
