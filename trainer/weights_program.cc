#include "trainer/weights_program.h"

#include <cstdio>

#include "base/fields.h"
#include "base/files.h"
#include "base/json.h"
#include "base/torch/runtime.h"
#include "trainer/stage_spec.h"
#include "trainer/weights_exchange.h"

namespace strata::trainer {
namespace {

Result<Value> run(const std::filesystem::path& file) {
  STRATA_CHECK_OK(set_up_torch(1));
  STRATA_TRY(const std::string text, read_file(file));
  STRATA_TRY(const Value request, parse_json(text));
  if (request.if_object() == nullptr)
    return fail(ErrorCode::kInvalid, "expected a map, found a {}", request.kind());
  Object rest = *request.if_object();
  Object what;
  if (auto it = rest.find("do"); it != rest.end()) what.insert(rest.extract(it));
  const Value asked(std::move(what));
  Fields fields(asked, "weights");
  const std::string action = fields.choice("do", {"import", "export", "forward"});
  STRATA_CHECK_OK(fields.finish());
  if (action == "import") return import_weights(rest);
  if (action == "export") return export_weights(rest);
  return forward_weights(rest);
}

}  // namespace

int run_weights(const std::filesystem::path& file) {
  const auto report = run(file);
  if (!report) {
    std::fprintf(stderr, "strata-trainer weights: %s\n", report.error().message.c_str());
    return exit_code_of(report.error());
  }
  std::fputs(to_pretty_json(*report).c_str(), stdout);
  return exit_code::kSucceeded;
}

}  // namespace strata::trainer
