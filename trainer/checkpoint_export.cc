#include "trainer/checkpoint_export.h"

#include <cstdio>

#include "base/fields.h"
#include "base/files.h"
#include "base/json.h"
#include "base/torch/runtime.h"
#include "trainer/checkpoint_folder.h"
#include "trainer/stage_spec.h"
#include "trainer/trained_model.h"

namespace strata::trainer {
namespace {

struct ExportOrder {
  std::filesystem::path checkpoint{};
  std::filesystem::path output{};
  std::string prefix{};  // of the tensors wanted
};

Result<ExportOrder> read_order(const std::filesystem::path& file) {
  STRATA_TRY(const std::string text, read_file(file));
  auto parsed = parse_json(text);
  if (!parsed) return tl::unexpected(parsed.error().while_doing(file.string()));
  Fields fields(*parsed, file.string());
  ExportOrder order;
  order.checkpoint = fields.text("checkpoint");
  order.output = fields.text("output");
  const bool last = fields.choice("weights", {"average", "last"}, "average") == "last";
  order.prefix = last ? "model.backbone." : "average.backbone.";
  STRATA_CHECK_OK(fields.finish());
  return order;
}

Status export_weights(const std::filesystem::path& file) {
  STRATA_TRY(const ExportOrder order, read_order(file));
  STRATA_CHECK_OK(set_up_torch(1));
  std::error_code error;
  if (std::filesystem::exists(order.output, error))
    return fail(ErrorCode::kInvalid, "{}: is there already", order.output.string());
  STRATA_TRY(const ChosenCheckpoint chosen, choose_checkpoint(order.checkpoint, std::nullopt));
  if (chosen.description.notes.describes.is_null()) {
    return fail(ErrorCode::kUnsupported,
                "{}: it was written before checkpoints said what their model needs (vocabulary, "
                "mel): resume training from it, and export the next one",
                chosen.folder.string());
  }
  STRATA_TRY(const ModelDescription description,
             read_model_description(chosen.description.notes.describes,
                                    (chosen.folder / "checkpoint.json: describes").string()));
  NamedTensors weights;
  for (const auto& [name, tensor] : chosen.state.tensors) {
    if (name.starts_with(order.prefix)) weights.emplace(name.substr(order.prefix.size()), tensor);
  }
  STRATA_CHECK_OK(write_trained_model(order.output, weights, description, chosen.state.update));
  std::printf("update %lld of %s in %s\n", static_cast<long long>(chosen.state.update),
              chosen.folder.c_str(), order.output.c_str());
  return {};
}

}  // namespace

int run_export(const std::filesystem::path& file) {
  const Status status = export_weights(file);
  if (status) return exit_code::kSucceeded;
  std::fprintf(stderr, "strata-trainer: %s\n", status.error().message.c_str());
  return exit_code_of(status.error());
}

}  // namespace strata::trainer
