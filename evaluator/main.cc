// strata-evaluator: scores recordings with exported judges, counts word errors, normalizes text.

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <iostream>
#include <iterator>

#include "base/log.h"
#include "base/subprocess.h"
#include "evaluator/compare_command.h"
#include "evaluator/judge_commands.h"
#include "evaluator/text_commands.h"

namespace {

namespace se = strata::evaluator;

constexpr int kExitWrongInput = 2;

volatile std::sig_atomic_t stop_signal = 0;

void note_stop(int signal) { stop_signal = signal; }

struct Arguments {
  std::string spec{};
  se::ScoreListOptions list{};
  std::vector<std::string> texts{};  // reference and hypothesis file
  std::string table{};
  std::string protocol{};
  std::string format{};
  bool json = false;
  std::string models{};
  std::vector<std::string> names{};
  int threads = 1;
  std::vector<std::string> systems{};  // two of them
  se::CompareOptions compare{};
};

int print(const strata::Result<std::string>& text) {
  if (!text) {
    strata::log_error("evaluator", "{}", text.error().message);
    return se::exit_code_of(text.error());
  }
  const bool written = std::fwrite(text->data(), 1, text->size(), stdout) == text->size() &&
                       std::fflush(stdout) == 0;
  return written ? 0 : 1;
}

int run_wer(const Arguments& a) {
  const auto protocol = se::find_protocol(a.protocol.empty() ? "plain" : a.protocol);
  if (!protocol) return print(tl::unexpected(protocol.error()));
  const bool json = a.json || a.format == "json";
  if (!a.table.empty())
    return print(se::wer_of_table(a.table, *protocol,
                                  json ? se::TableFormat::kJson : se::TableFormat::kTsv));
  const auto format = json                ? se::TableFormat::kJson
                      : a.format == "tsv" ? se::TableFormat::kTsv
                                          : se::TableFormat::kText;
  return print(se::wer_of_files(a.texts.at(0), a.texts.at(1), *protocol, format));
}

int run_normalize(const Arguments& a) {
  const auto protocol = se::find_protocol(a.protocol);
  if (!protocol) return print(tl::unexpected(protocol.error()));
  const std::string text(std::istreambuf_iterator<char>(std::cin), {});
  return print(se::normalize_lines(text, *protocol));
}

void note_stop_at(int signal, int flags = 0) {
  struct sigaction action = {};
  action.sa_handler = note_stop;
  action.sa_flags = flags;
  ::sigaction(signal, &action, nullptr);
}

int run_score(const Arguments& a) {
  if (a.spec.empty() == a.list.list.empty()) {
    strata::log_error("evaluator", "score: name either a spec file or a list with --list");
    return kExitWrongInput;
  }
  const auto stop_requested = [] { return stop_signal != 0; };
  note_stop_at(SIGTERM);
  if (!a.list.list.empty()) {
    // By hand: it may outlive the shell, and Ctrl-C once ends it in order, twice at once.
    note_stop_at(SIGINT, static_cast<int>(SA_RESETHAND));
    return se::score_list_command(a.list, stop_requested);
  }
  // The worker that started us must not be outlived: its successor may grant the slots to somebody
  // else.
  strata::die_with_parent(SIGKILL);
  return se::score_command(a.spec, stop_requested);
}

void add_score_options(CLI::App& score, Arguments& a) {
  auto* spec = score.add_option("SPEC", a.spec, "spec file of a task (docs/stages.md)");
  auto* list = score.add_option("--list", a.list.list,
                                "list of F5-TTS, seed-tts-eval or our own; then no SPEC");
  spec->excludes(list);
  const auto add = [&](const char* name, auto& value, const char* help) {
    return score.add_option(name, value, help)->needs(list);
  };
  add("--wavs", a.list.wavs, "folder with <utterance>.wav for each row");
  add("--protocol", a.list.protocol, "f5, seed-tts, whisper-en, whisper-basic, digits, plain");
  add("--format", a.list.format, "librispeech-pc, seed-tts, jsonl (default: by its first line)");
  add("--prompts", a.list.prompts,
      "folder that prompts are relative to: LibriSpeech's test-clean (default: that of the list)");
  add("--models", a.list.models, "folder of exported judges");
  add("--asr", a.list.asr, "its recognizer: wer");
  add("--speaker", a.list.speaker, "its speaker judge: sim_o, against the prompts");
  add("--mos", a.list.mos, "its MOS judge: mos");
  add("--out", a.list.out, "folder for what is found (default: WAVS.scores)");
  add("--threads", a.list.threads, "compute threads")->check(CLI::Range(1, 1024));
  score.add_flag("--json", a.list.json, "print the scores as JSON")->needs(list);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Scores synthetic speech with exported judges; counts word errors as jiwer does.",
               "strata-evaluator"};
  app.require_subcommand(1);
  Arguments a;
  auto* score = app.add_subcommand("score", "score the recordings of a task, or of a list by hand");
  add_score_options(*score, a);

  auto* wer = app.add_subcommand("wer", "word errors of two text files, or of a table");
  auto* texts =
      wer->add_option("REF_HYP", a.texts, "reference and hypothesis file, one utterance a line")
          ->expected(2);
  auto* table = wer->add_option("--tsv", a.table, "table with columns reference and hypothesis")
                    ->excludes(texts);
  wer->add_option(
      "--protocol", a.protocol,
      "normalize first: f5, seed-tts, whisper-en, whisper-basic, digits, plain (default)");
  wer->add_option("--format", a.format, "tsv: a row for each pair; json")
      ->check(CLI::IsMember(std::vector<std::string>{"tsv", "json"}));
  wer->add_flag("--json", a.json, "same as --format json");

  auto* normalize = app.add_subcommand("normalize", "normalize lines from standard input");
  normalize
      ->add_option("--protocol", a.protocol,
                   "f5, seed-tts, whisper-en, whisper-basic, digits, plain")
      ->required();

  auto* compare = app.add_subcommand(
      "compare", "is B better than A? Differences, intervals and tests over their utterances");
  compare
      ->add_option("A_B", a.systems,
                   "two report folders of `score`, or files in them, or two scores.json")
      ->expected(2)
      ->required();
  compare->add_option("--set", a.compare.set, "of the list (default: generated)");
  compare->add_option("--resamples", a.compare.bootstrap.resamples)->capture_default_str();
  compare->add_option("--seed", a.compare.bootstrap.seed)->capture_default_str();
  compare->add_option("--confidence", a.compare.bootstrap.confidence)->capture_default_str();
  compare->add_flag("--json", a.compare.json, "as JSON");

  auto* judges = app.add_subcommand("judges", "exported judge models");
  judges->require_subcommand(1);
  auto* list = judges->add_subcommand("list", "what lies in a folder of exported models");
  list->add_option("--models", a.models, "folder")->required();
  list->add_flag("--json", a.json, "as JSON");
  auto* verify = judges->add_subcommand("verify", "load them, with self-test and sanity check");
  verify->add_option("--models", a.models, "folder")->required();
  verify->add_option("NAME", a.names, "only these");
  verify->add_option("--threads", a.threads, "compute threads")->check(CLI::Range(1, 1024));

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : kExitWrongInput;
  }
  if (score->parsed()) return run_score(a);
  if (wer->parsed()) {
    if (texts->count() == 0 && table->count() == 0) {
      strata::log_error("evaluator", "wer: name two text files, or a table with --tsv");
      return kExitWrongInput;
    }
    return run_wer(a);
  }
  if (normalize->parsed()) return run_normalize(a);
  if (compare->parsed())
    return print(se::compare_files(a.systems.at(0), a.systems.at(1), a.compare));
  return list->parsed() ? se::judges_list_command(a.models, a.json)
                        : se::judges_verify_command(a.models, a.names, a.threads);
}
