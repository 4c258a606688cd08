// How a check is told: to people, to programs, in the log.
#include <algorithm>

#include "trainer/feasibility.h"

namespace strata::trainer {
namespace {

constexpr double kMib = 1 << 20;
constexpr double kGib = 1LL << 30;
constexpr std::size_t kKindColumn = 22;

const char* name_of(Level level) { return level == Level::kError ? "error" : "warning"; }

// "a-1 (0.01 s), a-2, ..."
std::string examples_of(const Finding& finding) {
  std::vector<std::string> shown;
  for (const FindingExample& example : finding.examples) {
    shown.push_back(example.detail.empty() ? example.id
                                           : fmt::format("{} ({})", example.id, example.detail));
  }
  const bool more = finding.count > std::ssize(finding.examples);
  return fmt::format("{}{}", fmt::join(shown, ", "), more && !shown.empty() ? ", ..." : "");
}

std::string counted(const Finding& finding) {
  if (finding.of == 1 && finding.examples.empty()) return finding.what;  // of the corpus itself
  return fmt::format("{} of {} {}", finding.count, finding.of, finding.what);
}

Value bytes(double value) { return static_cast<std::int64_t>(value); }

Value bytes(std::optional<std::int64_t> value) { return value ? Value(*value) : Value(); }

Value to_value(const Finding& finding) {
  Array examples;
  for (const FindingExample& example : finding.examples)
    examples.emplace_back(Object{{"id", example.id}, {"detail", example.detail}});
  return Object{{"kind", finding.kind},    {"level", name_of(finding.level)},
                {"count", finding.count},  {"of", finding.of},
                {"what", finding.what},    {"examples", std::move(examples)},
                {"advice", finding.advice}};
}

Value to_value(const MemoryEstimate& memory, const Feasibility& all) {
  return Object{{"parameters", memory.parameters},
                {"weights", bytes(memory.weights)},
                {"gradients", bytes(memory.gradients)},
                {"moments", bytes(memory.moments)},
                {"average", bytes(memory.average)},
                {"early_weights", bytes(memory.early)},
                {"activations_about", bytes(memory.activations)},
                {"checkpoint", bytes(memory.checkpoint)},
                {"corpus_held", bytes(memory.held.corpus)},
                {"batches_ahead", bytes(memory.held.batches)},
                {"corpus", bytes(all.corpus_bytes)},
                {"program_about", bytes(memory.program)},
                {"peak_about", bytes(memory.peak())},
                {"ranks_here", all.ranks_here},
                {"machine_total", bytes(all.machine.total)},
                {"machine_available", bytes(all.machine.available)}};
}

Value to_value(const BatchFacts& batches) {
  return Object{
      {"an_epoch", batches.an_epoch},
      {"utterances", Array{batches.fewest, batches.most}},
      {"costliest_forward", Object{{"utterances", batches.costliest.utterances},
                                   {"frames", batches.costliest.frames},
                                   {"teacher_frames", batches.costliest.teacher_frames}}}};
}

std::string memory_lines(const Feasibility& all) {
  const MemoryEstimate& m = *all.memory;
  std::string text = fmt::format(
      "memory    a rank needs about {}: {} weights, {} gradients, {} moments, {} average,\n"
      "          {} early weights, {} of {} of mels and features, {} batches,\n"
      "          about {} program and {} activations\n"
      "          (writing a checkpoint takes {} instead); {} parameters\n",
      memory_text(m.peak()), memory_text(m.weights), memory_text(m.gradients),
      memory_text(m.moments), memory_text(m.average), memory_text(m.early),
      memory_text(m.held.corpus), memory_text(all.corpus_bytes), memory_text(m.held.batches),
      memory_text(m.program), memory_text(m.activations), memory_text(m.checkpoint), m.parameters);
  if (all.machine.available) {
    text += fmt::format("          this machine has {} left for {} of {} ranks\n",
                        memory_text(static_cast<double>(*all.machine.available)), all.ranks_here,
                        all.ranks);
  }
  return text;
}

std::string plural(std::int64_t count, const char* word) {
  return fmt::format("{} {}{}", count, word, count == 1 ? "" : "s");
}

}  // namespace

std::string memory_text(double bytes) {
  if (bytes < kGib) return fmt::format("{:.0f} MiB", bytes / kMib);
  return fmt::format("{:.2f} GiB", bytes / kGib);
}

std::string describe(const Finding& finding) {
  const std::string examples = examples_of(finding);
  return fmt::format("{}{}; {}", counted(finding), examples.empty() ? "" : ": " + examples,
                     finding.advice);
}

Value to_value(const Feasibility& all) {
  Array findings;
  for (const Finding& finding : all.findings) findings.push_back(to_value(finding));
  return Object{{"corpus", all.corpus.string()},
                {"train", all.train},
                {"train_hours", all.train_hours},
                {"heldout", all.heldout},
                {"heldout_hours", all.heldout_hours},
                {"vocabulary", all.vocabulary},
                {"ranks", all.ranks},
                {"batches", all.batches ? to_value(*all.batches) : Value()},
                {"memory", all.memory ? to_value(*all.memory, all) : Value()},
                {"feasible", all.errors() == 0},
                {"findings", std::move(findings)}};
}

std::string to_text(const Feasibility& all) {
  std::string text = fmt::format(
      "corpus    {}\n"
      "          {} training items ({:.2f} h), {} held out ({:.2f} h), {} tokens\n",
      all.corpus.string(), all.train, all.train_hours, all.heldout, all.heldout_hours,
      all.vocabulary);
  if (all.batches) {
    const BatchFacts& b = *all.batches;
    text += fmt::format(
        "batches   {} an epoch, of {} to {} utterances; the costliest forward of a rank: {} x {} "
        "frames\n",
        b.an_epoch, b.fewest, b.most, b.costliest.utterances, b.costliest.frames);
  }
  if (all.memory) text += memory_lines(all);
  text += "\n";
  for (const Finding& finding : all.findings) {
    text += fmt::format("{:<9} {:<{}} {}\n", name_of(finding.level), finding.kind, kKindColumn,
                        counted(finding));
    const std::string margin(10 + kKindColumn + 1, ' ');
    if (!finding.examples.empty()) text += margin + examples_of(finding) + "\n";
    text += margin + finding.advice + "\n";
  }
  const std::int64_t errors = all.errors();
  const std::int64_t warnings = std::ssize(all.findings) - errors;
  const bool refused = std::ranges::any_of(all.findings, [](const Finding& finding) {
    return finding.level == Level::kError && finding.kind != kMemory;
  });
  if (all.findings.empty()) return text + "nothing speaks against this training\n";
  return text + fmt::format("\n{}, {}: `train` {}\n", plural(errors, "error"),
                            plural(warnings, "warning"),
                            refused ? "refuses it" : "goes on with it");
}

Status refuse_infeasible(const Feasibility& all) {
  std::vector<std::string> errors;
  for (const Finding& finding : all.findings) {
    if (finding.level == Level::kError) errors.push_back(describe(finding));
  }
  if (errors.empty()) return {};
  return fail(ErrorCode::kInvalid, "{}: this training cannot work: {}", all.corpus.string(),
              fmt::join(errors, "; also: "));
}

}  // namespace strata::trainer
