// What normalizing a line of text costs, in CPU time: a shared machine's clock counts its other
// users, too. tests/bench/peers/normalizer_peer.py does the same to the same lines with the
// original.
//
//   strata-bench-normalizer --lines lines.txt --protocol whisper-en
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <ctime>
#include <sstream>
#include <string>
#include <vector>

#include "base/files.h"
#include "base/sha256.h"
#include "evaluator/core/normalizer.h"

namespace strata::evaluator {
namespace {

constexpr int kPasses = 7;

double cpu_seconds() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

Status run(const std::string& path, const std::string& name) {
  STRATA_TRY(const ProtocolInfo protocol, find_protocol(name));
  STRATA_TRY(const std::string text, read_file(path));
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  if (lines.empty()) return fail(ErrorCode::kInvalid, "{} has no lines", path);

  double least = 0;
  std::string results;
  for (int pass = 0; pass < kPasses; ++pass) {
    std::vector<std::string> normalized(lines.size());
    const double start = cpu_seconds();
    for (std::size_t i = 0; i < lines.size(); ++i) {
      STRATA_TRY(normalized[i], normalize(protocol.protocol, lines[i]));
    }
    const double taken = cpu_seconds() - start;
    least = pass == 0 ? taken : std::min(least, taken);
    results.clear();
    for (const std::string& line : normalized) results += line + "\n";
  }
  std::printf("us a line          %.3f\n", 1e6 * least / static_cast<double>(lines.size()));
  std::printf("sha256 of results  %s\n", sha256_hex(results).c_str());
  return {};
}

}  // namespace
}  // namespace strata::evaluator

int main(int argc, char** argv) {
  CLI::App app{"What normalizing a line of text costs", "strata-bench-normalizer"};
  std::string lines;
  std::string protocol = "whisper-en";
  app.add_option("--lines", lines, "a text in each line")->required();
  app.add_option("--protocol", protocol);
  CLI11_PARSE(app, argc, argv);
  if (const auto done = strata::evaluator::run(lines, protocol); !done) {
    std::fprintf(stderr, "strata-bench-normalizer: %s\n", done.error().message.c_str());
    return 1;
  }
  return 0;
}
