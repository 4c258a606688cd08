// The `strata` command. docs/cli.md has every command with an example, and the exit codes.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <sstream>

#include "base/json.h"
#include "cli/commands.h"
#include "cli/completion.h"
#include "cli/data_version.h"
#include "cli/up.h"
#include "cli/view.h"
#include "schema/reading.h"

namespace {

using std::string_literals::operator""s;
using strata::Result;
using strata::cli::CommandShape;
using strata::cli::Context;

volatile std::sig_atomic_t interrupted = 0;
extern "C" void on_interrupt(int signal) { interrupted = signal; }

// The first interrupt ends a waiting command in good order; the second one ends it at once.
bool wait_seconds(double seconds) {
  static const bool installed = [] {
    struct sigaction action {};
    action.sa_handler = on_interrupt;
    action.sa_flags = SA_RESETHAND;
    return sigaction(SIGINT, &action, nullptr) == 0 && sigaction(SIGTERM, &action, nullptr) == 0;
  }();
  if (!installed || interrupted != 0) return false;
  timespec pause{};
  pause.tv_sec = static_cast<std::time_t>(seconds);
  pause.tv_nsec = static_cast<long>((seconds - static_cast<double>(pause.tv_sec)) * 1e9);
  ::nanosleep(&pause, nullptr);
  return interrupted == 0;
}

// All that the command line can say, filled by CLI11.
struct Arguments {
  std::string coordinator{};
  bool json = false;
  std::string word{};  // FILE, SWEEP, PREFIX, EXPR, SHELL
  std::vector<std::string> words{};
  std::string where{};
  bool once = false;
  bool follow = false;
  bool stop = false;
  strata::cli::PlanOptions plan{};
  strata::cli::SubmitOptions submit{};
  strata::cli::QueryOptions query{};
  strata::cli::TableOptions table{};
  strata::cli::PlotOptions plot{};
  strata::cli::TraceOptions trace{};
  strata::cli::PolicyOptions policy{};
  strata::cli::UpOptions up{};
};

struct Command {
  CLI::App* app = nullptr;
  std::function<Result<int>(Context&)> run{};
  strata::cli::WordKind words = strata::cli::WordKind::kNothing;
  std::vector<std::string> choices{};
};
using Commands = std::vector<Command>;
using strata::cli::WordKind;

const std::vector<std::string> kFormats = {"text", "csv", "markdown", "latex"};
const std::vector<std::string> kShells = {"bash", "zsh", "fish"};
const std::vector<std::string> kPolicyActions = {"test", "list"};

// CLI11's own would name the largest double in full.
std::string above_zero(const std::string& text) {
  double value = 0;
  return CLI::detail::lexical_cast(text, value) && value > 0
             ? ""
             : fmt::format("must be above 0, not {}", text);
}
const CLI::Validator is_positive{above_zero, ""};

void add_sweep_name(CLI::App& command, std::string& name) {
  command.add_option("SWEEP", name, "its name, as strata list shows it")->required()->type_name("");
}

void add_sweep_commands(CLI::App& app, Arguments& a, Commands& out) {
  CLI::App* up = app.add_subcommand(
      "up", "coordinator and one worker on this machine, on loopback, in one folder");
  up->add_option("--folder", a.up.folder,
                 "where everything lies (default: ~/.local/state/strata/default)")
      ->type_name("DIR");
  up->add_option("--slots", a.up.slots, "slots of the worker (default: its GPUs, else its cores)")
      ->check(is_positive)
      ->type_name("N");
  up->add_option("--models", a.up.models, "folder of exported models (default: $STRATA_MODELS)")
      ->type_name("DIR");
  up->add_option("--metrics", a.up.metrics, "where Prometheus asks (default: any port of loopback)")
      ->type_name("HOST:PORT");
  up->add_option("--mirror", a.up.mirror,
                 "keep a copy of the coordinator's store up to date in this folder")
      ->type_name("DIR");
  up->add_option("--restore", a.up.restore,
                 "make the store from this mirror first (its disk has died)")
      ->type_name("DIR");
  up->add_flag("--detach", a.up.detach, "leave both in the background");
  up->add_flag("--stop", a.stop, "stop both: programs are asked for a checkpoint");
  out.push_back(
      {up, [&](Context& c) { return a.stop ? run_down(c, a.up.folder) : run_up(c, a.up); }});

  CLI::App* plan =
      app.add_subcommand("plan", "what a submission would run, keep, retry, and what it costs");
  plan->add_option("FILE", a.word, "sweep definition, docs/sweeps.md")->required()->type_name("");
  plan->add_option("--gflops", a.plan.gflops,
                   fmt::format("sustained GFLOP/s of a slot, where no program of the kind has run "
                               "yet (default: {:.0f} where a stage asks for the label gpu)",
                               strata::cli::kAssumedGflops))
      ->check(is_positive)
      ->type_name("N");
  plan->add_option("--slots", a.plan.slots, "suppose so many slots (default: those that there are)")
      ->check(is_positive)
      ->type_name("N");
  plan->add_flag("--unfrozen", a.plan.unfrozen, "of a submission with --unfrozen");
  out.push_back({plan, [&](Context& c) { return run_plan(c, a.word, a.plan); }, WordKind::kFile});

  CLI::App* submit = app.add_subcommand("submit", "submit a sweep; what exists is kept");
  submit->add_option("FILE", a.submit.file, "sweep definition, docs/sweeps.md")
      ->required()
      ->type_name("");
  submit
      ->add_option("--if-plan", a.submit.if_plan,
                   "refuse (exit code 4) when the world has moved since this plan")
      ->type_name("PLAN");
  submit->add_flag("--unfrozen", a.submit.unfrozen,
                   "run the code from where it lies: for machines that do not see the artifact "
                   "folder; edits reach queued tasks");
  submit->add_flag("--wait", a.submit.wait, "stay and watch until the sweep has ended");
  out.push_back({submit, [&](Context& c) { return run_submit(c, a.submit); }, WordKind::kFile});

  CLI::App* watch = app.add_subcommand("watch", "live progress of a sweep, until it has ended");
  add_sweep_name(*watch, a.word);
  watch->add_flag("--once", a.once, "one picture, then end");
  out.push_back(
      {watch, [&](Context& c) { return run_watch(c, a.word, a.once); }, WordKind::kSweep});

  CLI::App* cancel = app.add_subcommand(
      "cancel", "withdraw a sweep; tasks that no other sweep wants are stopped, results stay");
  add_sweep_name(*cancel, a.word);
  out.push_back({cancel, [&](Context& c) { return run_cancel(c, a.word); }, WordKind::kSweep});

  CLI::App* retry = app.add_subcommand("retry", "try failed and cancelled tasks again");
  retry->add_option("TARGET", a.word, "sweep, or prefix of a run or task")
      ->required()
      ->type_name("");
  retry->add_option("--where", a.where, "only tasks of the sweep's runs for which this holds")
      ->type_name("EXPR");
  out.push_back(
      {retry, [&](Context& c) { return run_retry(c, a.word, a.where); }, WordKind::kSweep});
}

constexpr const char* kPrefixHelp = "at least 4 digits of a run's or task's key";

void add_asking_commands(CLI::App& app, Arguments& a, Commands& out) {
  const auto add = [&](const char* name, const char* help, Result<int> (*run)(Context&)) {
    out.push_back({app.add_subcommand(name, help), run});
  };
  const auto add_word = [&](const char* name, const char* help, const char* word, const char* about,
                            Result<int> (*run)(Context&, const std::string&)) {
    CLI::App* sub = app.add_subcommand(name, help);
    sub->add_option(word, a.word, about)->required()->type_name("");
    out.push_back({sub, [&a, run](Context& c) { return run(c, a.word); }});
  };
  add("list", "all sweeps", strata::cli::run_list);
  add("status", "the coordinator", strata::cli::run_status);
  add("workers", "workers, their slots and what they run", strata::cli::run_workers);
  add_word("drain", "give a worker nothing new", "WORKER",
           "its number or name, as strata workers shows them", strata::cli::run_drain);
  add_word("release", "end a worker's quarantine", "WORKER",
           "its number or name, as strata workers shows them", strata::cli::run_release);
  add_word("show", "all about a run or a task", "PREFIX", kPrefixHelp, strata::cli::run_show);

  CLI::App* explain = app.add_subcommand("explain", "why a run or a task is where it is");
  explain
      ->add_option("PREFIX", a.words,
                   "at least 4 digits of a run's or task's key; the words `run` or `task` may "
                   "stand before it")
      ->required()
      ->type_name("")
      ->expected(1, 2);
  out.push_back({explain, [&](Context& c) -> Result<int> {
                   if (a.words.size() == 2 && a.words[0] != "run" && a.words[0] != "task") {
                     return strata::fail(
                         strata::ErrorCode::kInvalid,
                         "explain: expected `run` or `task` before the prefix, not '{}'",
                         a.words[0]);
                   }
                   return run_explain(c, a.words.back());
                 }});

  CLI::App* logs = app.add_subcommand(
      "logs", "what a task's newest attempt wrote; of a run, of the task that failed or runs");
  logs->add_option("PREFIX", a.word, kPrefixHelp)->required()->type_name("");
  logs->add_flag("--follow,-f", a.follow, "go on until the attempt ends");
  out.push_back({logs, [&](Context& c) { return run_logs(c, a.word, a.follow); }});

  CLI::App* backup = app.add_subcommand(
      "backup", "copy the coordinator's store into a new folder, while it works; on its machine");
  backup->add_option("FOLDER", a.word, "is made; strata up --restore starts from it")
      ->required()
      ->type_name("");
  out.push_back(
      {backup, [&](Context& c) { return run_backup(c, a.coordinator, a.word); }, WordKind::kFile});

  CLI::App* names = app.add_subcommand("names", "names of sweeps, for completion")->group("");
  out.push_back({names, [](Context& c) -> Result<int> {
                   STRATA_TRY(const strata::Value answer, c.ask("sweeps"));
                   std::string text;
                   strata::Array all;
                   for (const strata::Value& sweep : strata::cli::array_at(answer, "sweeps")) {
                     all.push_back(strata::cli::text_at(sweep, "sweep"));
                     text += strata::cli::text_at(sweep, "sweep") + "\n";
                   }
                   c.answer(strata::Object{{"names", std::move(all)}}, text);
                   return 0;
                 }});
}

void add_result_commands(CLI::App& app, Arguments& a, Commands& out) {
  CLI::App* query = app.add_subcommand("query",
                                       "runs for which an expression holds: 'model.depth = 18 and "
                                       "wer < 0.03 order by wer limit 10'");
  query
      ->add_option("EXPR", a.words,
                   "over parameters, scores, state, seed, cell, run, sweep; none: all runs")
      ->type_name("");
  query->add_option("--by", a.query.by, "counts runs in groups of these parameters")
      ->delimiter(',')
      ->type_name("NAME,NAME");
  query->add_option("--mean", a.query.mean, "means of these scores over each group")
      ->delimiter(',')
      ->type_name("NAME,NAME");
  out.push_back({query, [&](Context& c) {
                   for (const std::string& word : a.words)
                     a.query.text += (a.query.text.empty() ? "" : " ") + word;
                   return run_query_command(c, a.query);
                 }});

  CLI::App* table = app.add_subcommand(
      "table", "the ablation table: mean over seeds, intervals, paired difference to the baseline");
  add_sweep_name(*table, a.table.sweep);
  table->add_option("--format", a.table.format, "of the output")
      ->check(CLI::IsMember(kFormats))
      ->capture_default_str();
  table->add_option("--scores", a.table.scores, "columns, in order (default: those of the sweep)")
      ->delimiter(',')
      ->type_name("NAME,NAME");
  table->add_option("--resamples", a.table.resamples, "of the bootstrap")
      ->check(CLI::Range(100, 1'000'000))
      ->capture_default_str();
  table->add_flag("--no-published", a.table.no_published,
                  "without the published numbers that the sweep's file has");
  out.push_back({table, [&](Context& c) { return run_table(c, a.table); }, WordKind::kSweep});

  CLI::App* plot = app.add_subcommand("plot", "a score over a parameter, or a metric over steps");
  add_sweep_name(*plot, a.plot.sweep);
  plot->add_option("--x", a.plot.x, "a parameter, or `step`")->required()->type_name("NAME");
  plot->add_option("--y", a.plot.y, "a score, or with --x step a metric")
      ->required()
      ->type_name("NAME");
  plot->add_option("--line", a.plot.line, "a level across the plot, in the unit of --y")
      ->type_name("NUMBER");
  plot->add_option("--out", a.plot.out, "ends in .svg or .png (default: SWEEP-Y.svg)")
      ->type_name("FILE");
  out.push_back({plot, [&](Context& c) { return run_plot(c, a.plot); }, WordKind::kSweep});

  CLI::App* trace = app.add_subcommand(
      "trace", "from a figure of the table to run, attempt, artifact hash and WAV");
  add_sweep_name(*trace, a.trace.sweep);
  trace->add_option("--cell", a.trace.cell, "label of the row, as `strata query` shows it")
      ->required()
      ->type_name("LABEL");
  trace->add_option("--score", a.trace.score, "a column of the table")
      ->required()
      ->type_name("NAME");
  trace->add_option("--item", a.trace.item, "utterance: its own value and where its audio lies")
      ->type_name("UTTERANCE");
  out.push_back({trace, [&](Context& c) { return run_trace(c, a.trace); }, WordKind::kSweep});
}

std::vector<CommandShape> shapes_of(const CLI::App& app, const Commands& commands) {
  std::vector<CommandShape> out;
  for (const Command& command : commands) {
    if (command.app->get_group().empty()) continue;  // not for people
    CommandShape shape{.name = command.app->get_name(),
                       .help = command.app->get_description(),
                       .words = command.words};
    shape.choices = command.choices;
    for (const CLI::App* part : {static_cast<const CLI::App*>(command.app), &app}) {
      for (const CLI::Option* option : part->get_options()) {
        if (option->get_lnames().empty() || option->get_lnames()[0] == "version") continue;
        const bool format = option->get_lnames()[0] == "format";
        if (part == &app && option->get_lnames()[0] == "help") continue;
        shape.options.push_back({.name = "--" + option->get_lnames()[0],
                                 .help = option->get_description(),
                                 .takes_value = option->get_expected_max() > 0,
                                 .choices = format ? kFormats : std::vector<std::string>{}});
      }
    }
    out.push_back(std::move(shape));
  }
  return out;
}

void add_policy_command(CLI::App& app, Arguments& a, Commands& out) {
  CLI::App* policy = app.add_subcommand(
      "policy", "whose fault a log says it is: try the rules on a file, or list them");
  policy->add_option("ACTION", a.policy.action, "test FILE, or list")
      ->required()
      ->check(CLI::IsMember(kPolicyActions));
  policy->add_option("FILE", a.policy.file, "the log of a program that failed")->type_name("");
  policy
      ->add_option("--sweep", a.policy.sweep, "a sweep's file, for the rules of one of its stages")
      ->type_name("FILE");
  policy->add_option("--stage", a.policy.stage, "the stage")->type_name("NAME");
  out.push_back({policy, [&](Context& c) { return run_policy(c, a.policy); }, WordKind::kFile,
                 kPolicyActions});
}

void add_own_commands(CLI::App& app, Arguments& a, Commands& out) {
  CLI::App* completion = app.add_subcommand("completion", "a shell's completion script");
  completion->add_option("SHELL", a.word)->required()->check(CLI::IsMember(kShells));
  out.push_back({completion,
                 [&](Context& c) -> Result<int> {
                   const std::vector<CommandShape> shapes = shapes_of(app, out);
                   const std::string text = a.word == "bash"  ? bash_completion(shapes)
                                            : a.word == "zsh" ? zsh_completion(shapes)
                                                              : fish_completion(shapes);
                   c.answer(strata::Object{{"shell", a.word}, {"script", text}}, text);
                   return 0;
                 },
                 WordKind::kNothing, kShells});
  out.push_back({app.add_subcommand("version", "of this program"), [](Context& c) -> Result<int> {
                   c.answer(strata::Object{{"version", STRATA_BUILD},
                                           {"protocol", std::int64_t{strata::kProtocolVersion}}},
                            "strata "s + STRATA_BUILD + "\n");
                   return 0;
                 }});
}

// All that is written to standard output. What does not arrive there is told once, and is an error
// at the end: an empty file would read like an empty answer.
class Output {
 public:
  void write(const std::string& text) {
    errno = 0;
    std::fwrite(text.data(), 1, text.size(), stdout);
    std::fflush(stdout);
    look();
  }
  // The exit code of the program, whose own one was `code`.
  [[nodiscard]] int ended(int code) const {
    return lost_ && code == strata::cli::kExitOk ? strata::cli::kExitFailed : code;
  }

 private:
  void look() {
    if (std::ferror(stdout) == 0 || lost_) return;
    lost_ = true;
    std::fprintf(stderr, "strata: standard output: %s\n",
                 errno == 0 ? "cannot be written" : std::strerror(errno));
  }
  bool lost_ = false;
};

// What CLI11 found wrong with the command line, in our words and, where asked for, as JSON.
int complain_usage(const CLI::App& app, const CLI::ParseError& error, bool json, Output& output) {
  if (error.get_exit_code() == 0) {  // --help, --version
    std::ostringstream out;
    const int code = app.exit(error, out, out);
    output.write(out.str());
    return code;
  }
  std::string text = error.what();
  std::string command = "strata";
  const auto parsed = app.get_subcommands();
  if (!parsed.empty()) {
    command += " " + parsed.front()->get_name();
  } else if (const auto words = app.remaining(); !words.empty()) {
    std::vector<std::string> names;
    for (const CLI::App* sub : app.get_subcommands([](const CLI::App*) { return true; }))
      names.push_back(sub->get_name());
    text = fmt::format("there is no command {}{}", words.front(),
                       strata::suggestion(words.front(), names));
  }
  text += fmt::format(" ({} --help shows what there is)", command);
  if (json) {
    const strata::Value told =
        strata::Object{{"error", text}, {"code", name_of(strata::ErrorCode::kInvalid)}};
    output.write(strata::to_pretty_json(told));
  } else {
    std::fprintf(stderr, "strata: %s\n", text.c_str());
  }
  return strata::cli::kExitUsage;
}

int complain(const Context& context, const strata::Error& error) {
  if (context.json) {
    context.print(strata::to_pretty_json(
        strata::Object{{"error", error.message}, {"code", name_of(error.code)}}));
  } else {
    std::fprintf(stderr, "strata: %s\n", error.message.c_str());
  }
  return strata::cli::exit_code_of(error);
}

}  // namespace

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_DFL);  // strata list | head
  CLI::App app{
      "Layer-wise ablations of speech synthesis: plan, run, ask, and the table for the paper.",
      "strata"};
  app.require_subcommand(1);
  app.fallthrough();
  app.footer(
      "--json and --coordinator may stand behind every command. docs/cli.md has examples.\n"
      "Exit codes: 0 done; 1 failed, or no coordinator; 2 wrong usage or a mistake in a file;\n"
      "3 the sweep ended with failed or cancelled runs; 4 the world is not what the plan saw;\n"
      "130, 143 interrupted (SIGINT, SIGTERM): the sweep goes on.");
  app.set_version_flag("--version", "strata "s + STRATA_BUILD);
  Arguments arguments;
  app.add_flag("--json", arguments.json, "answers as JSON");
  app.add_option("--coordinator", arguments.coordinator,
                 "its address file (default: $STRATA_COORDINATOR, else that of `strata up`)")
      ->type_name("FILE");
  Output output;
  Commands commands;
  add_sweep_commands(app, arguments, commands);
  add_asking_commands(app, arguments, commands);
  add_result_commands(app, arguments, commands);
  add_policy_command(app, arguments, commands);
  add_own_commands(app, arguments, commands);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const auto is_json = [](const char* word) { return std::string_view(word) == "--json"; };
    return output.ended(
        complain_usage(app, error, std::any_of(argv, argv + argc, is_json), output));
  }
  const strata::SystemClock clock;
  Context context([&] { return strata::cli::connect(arguments.coordinator); },
                  [&output](const std::string& text) { output.write(text); }, clock);
  context.json = arguments.json;
  context.palette = strata::cli::palette_for(STDOUT_FILENO);
  context.size = [] { return strata::cli::terminal_size(STDOUT_FILENO); };
  context.width = context.size().columns;
  context.terminal = strata::cli::is_terminal(STDOUT_FILENO);
  context.wait = wait_seconds;
  context.signal = [] { return static_cast<int>(interrupted); };
  context.build = STRATA_BUILD;
  context.cache = strata::cli::user_cache_folder();
  if (strata::cli::is_terminal(STDERR_FILENO))
    context.tell = [](const std::string& line) {
      std::fprintf(stderr, "\r\x1b[0K%s", line.c_str());
      std::fflush(stderr);
    };
  for (const Command& command : commands) {
    if (!command.app->parsed()) continue;
    const Result<int> code = command.run(context);
    return output.ended(code ? *code : complain(context, code.error()));
  }
  return strata::cli::kExitUsage;
}
