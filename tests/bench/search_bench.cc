// Searching runs: a store with so many finished runs of four axes, with scores and metric points,
// made by a real coordinator, and the questions of `strata query` over loopback, each timed from
// the question to the parsed answer.
//
//   strata-bench-search --runs 10000
//
// "first": it reads all of them; a coordinator that starts does so before it is asked.
// "unchanged": nothing was committed since the question before. "after a commit": something was,
// so that the coordinator has to look for what is new.
#include <CLI/CLI.hpp>
#include <cmath>
#include <map>
#include <set>

#include "base/json.h"
#include "base/random.h"
#include "tests/bench/running_coordinator.h"

namespace strata::bench {
namespace {

constexpr int kLayers = 10;
constexpr int kRates = 5;
constexpr int kDepths = 4;
constexpr int kSeeds = 5;

struct Cell {
  int text = 0;
  int speech = 0;
  int rate = 0;
  int depth = 0;
  int seed = 0;
};

Cell cell_of(int run) {
  Cell cell;
  cell.seed = run % kSeeds + 1;
  run /= kSeeds;
  cell.text = run % kLayers;
  run /= kLayers;
  cell.speech = run % kLayers;
  run /= kLayers;
  cell.rate = run % kRates;
  run /= kRates;
  cell.depth = run;
  return cell;
}

// What a training of the shipped pipelines reads: about thirty parameters.
Value parameters_of(const Cell& cell) {
  return Object{
      {"align",
       Object{{"text", Object{{"layer", cell.text}, {"weight", 0.1}, {"loss", "cosine"}}},
              {"speech", Object{{"layer", cell.speech}, {"weight", 0.1}, {"loss", "cosine"}}}}},
      {"model", Object{{"depth", 18 + 2 * cell.depth},
                       {"width", 1024},
                       {"heads", 16},
                       {"ff_mult", 2},
                       {"text_width", 512},
                       {"conv_layers", 4},
                       {"dropout", 0.1},
                       {"vocabulary", 78}}},
      {"train", Object{{"lr", 7.5e-5 * (cell.rate + 1)},
                       {"warmup", 20'000},
                       {"updates", 200'000},
                       {"batch_frames", 38'400},
                       {"clip", 1.0},
                       {"ema", 0.9999},
                       {"dtype", "bf16"},
                       {"drop_text", 0.2},
                       {"drop_audio", 0.3},
                       {"mask_least", 0.7},
                       {"mask_most", 1.0}}},
      {"mel", Object{{"bands", 100}, {"rate", 24'000}, {"hop", 256}, {"fft", 1024}}}};
}

struct Work {
  std::vector<TaskSpec> tasks{};
  std::vector<RunSpec> runs{};
  std::map<TaskKey, int> run_of{};  // whose training or score it is
};

Work make_work(int count) {
  Work work;
  for (int i = 0; i < count; ++i) {
    const Cell cell = cell_of(i);
    TaskSpec train{.stage = "train",
                   .program = {.name = "strata-trainer train", .argv = {"strata-trainer"}},
                   .parameters = parameters_of(cell),
                   .seed = static_cast<std::uint64_t>(cell.seed),
                   .outputs = {"weights"}};
    train.key = compute_key(train);
    TaskSpec score{
        .stage = "score",
        .program = {.name = "strata-evaluator score", .argv = {"strata-evaluator"}},
        .parameters = Object{{"judge", Object{{"asr", "whisper-base@1"}, {"mos", "utmos@1"}}},
                             {"sampling", Object{{"steps", 32}, {"guidance", 2.0}}}},
        .inputs = {{.name = "weights", .producer = train.key, .output = "weights"}},
        .outputs = {"scores"}};
    score.key = compute_key(score);
    RunSpec run{.cell = fmt::format("text={} speech={} lr={} depth={}", cell.text, cell.speech,
                                    cell.rate, cell.depth),
                .assignment = Object{{"align.text.layer", cell.text},
                                     {"align.speech.layer", cell.speech},
                                     {"train.lr", 7.5e-5 * (cell.rate + 1)},
                                     {"model.depth", 18 + 2 * cell.depth}},
                .seed = static_cast<std::uint64_t>(cell.seed),
                .baseline = i < kSeeds};
    run.tasks = {{"train", train.key}, {"score", score.key}};
    run.key = compute_key(run);
    work.run_of[train.key] = work.run_of[score.key] = i;
    work.tasks.push_back(std::move(train));
    work.tasks.push_back(std::move(score));
    work.runs.push_back(std::move(run));
  }
  return work;
}

void submit(CoordinatorLink& client, const std::string& sweep, const Work& work) {
  constexpr std::size_t kRunsPerBatch = kTasksPerBatchMax / 2;
  for (std::size_t at = 0; at < work.runs.size(); at += kRunsPerBatch) {
    const std::size_t end = std::min(work.runs.size(), at + kRunsPerBatch);
    SubmitTasks batch{
        .sweep = sweep, .definition = "{}", .first = at == 0, .last = end == work.runs.size()};
    for (std::size_t i = at; i < end; ++i) {
      batch.tasks.push_back(work.tasks[2 * i]);
      batch.tasks.push_back(work.tasks[2 * i + 1]);
      batch.runs.push_back(work.runs[i]);
    }
    const Answer answer = needed(client.submit(std::move(batch), kPatience));
    if (!answer.ok) need(fail(ErrorCode::kInternal, "{}", answer.body));
  }
}

double wer_of(int run) {
  const Cell cell = cell_of(run);
  Random noise(static_cast<std::uint64_t>(run));
  return 0.02 + 0.01 * std::abs(cell.text - 4) + 0.005 * std::abs(cell.speech - 6) +
         0.02 * cell.rate + 0.001 * static_cast<double>(noise.bounded(1'000)) / 100.0;
}

std::vector<Score> scores_of(int run) {
  const double wer = wer_of(run);
  const auto score = [](const char* name, double value, const char* better, const char* judge) {
    return Score{.name = name,
                 .value = value,
                 .unit = "fraction",
                 .low = 0.95 * value,
                 .high = 1.05 * value,
                 .count = 1'088,
                 .better = better,
                 .judge = judge};
  };
  return {score("wer", wer, "lower", "whisper-base@1"),
          score("sim", 0.7 - wer, "higher", "wavlm@1"),
          score("utmos", 4.0 - 3 * wer, "higher", "utmos@1")};
}

// Does what it is given at once, until nothing is left.
void finish_all(const Running& running, const Work& work) {
  BenchWorker worker{.link = running.dial()};
  worker.join(512);
  std::set<AttemptId> ended;
  std::size_t left = work.tasks.size();
  while (left > 0) {
    const auto message = needed(worker.link.receive(kPatience));
    if (!message) continue;
    if (std::holds_alternative<EndedAck>(*message)) --left;
    const auto* order = std::get_if<StartAttempt>(&*message);
    if (order == nullptr || !ended.insert(order->attempt).second) continue;
    const int run = work.run_of.at(order->attempt.task);
    const bool train = order->spec.stage == "train";
    send_to(worker.link, ReportStarted{.worker = worker.id, .attempt = order->attempt});
    if (train) {
      MetricBatch points{.worker = worker.id, .attempt = order->attempt};
      for (std::uint64_t i = 1; i <= 5; ++i) {
        points.points.push_back(
            {.sequence = i,
             .step = static_cast<std::int64_t>(40'000 * i),
             .values = {{"loss", wer_of(run) + 1.0 / static_cast<double>(i)}, {"grad_norm", 0.5}}});
      }
      send_to(worker.link, points);
    }
    Succeeded outcome;
    const std::string output = train ? "weights" : "scores";
    outcome.artifacts[output] = {
        .hash = content_hash_of(order->attempt.task.hex()), .bytes = 1, .files = 1};
    for (const auto& [name, ref] : order->inputs) outcome.consumed[name] = ref.hash;
    if (!train) outcome.scores = scores_of(run);
    send_to(worker.link,
            ReportEnded{.worker = worker.id, .attempt = order->attempt, .outcome = outcome});
  }
}

struct Timed {
  std::vector<double> ms{};
  Value answer{};
};

void ask(CoordinatorLink& link, const std::string& verb, const Object& body, Timed& timed) {
  const auto began = Clock::now();
  const Answer answer = needed(link.ask(verb, to_canonical_json(Value(body)), kPatience));
  Value parsed = needed(parse_json(answer.body));
  timed.ms.push_back(1e3 * seconds_since(began));
  if (!answer.ok) need(fail(ErrorCode::kInternal, "{}", answer.body));
  timed.answer = std::move(parsed);
}

// Something is committed and is in the tables: another small sweep.
void commit_something(CoordinatorLink& link, int number) {
  TaskSpec task{.stage = "other",
                .program = {.name = "true", .argv = {"/bin/true"}},
                .parameters = Object{{"i", number}}};
  task.key = compute_key(task);
  SubmitTasks batch{
      .sweep = "another", .definition = "{}", .first = true, .last = true, .tasks = {task}};
  RunSpec run{.cell = "c", .seed = static_cast<std::uint64_t>(number)};
  run.tasks["other"] = task.key;
  run.key = compute_key(run);
  batch.runs = {run};
  needed(link.submit(std::move(batch), kPatience));
  Timed ignored;
  ask(link, "status", {}, ignored);  // waits for the tables
}

void check(bool holds, const char* what) {
  if (!holds) need(fail(ErrorCode::kInternal, "wrong answer: {}", what));
}

// Against what was put in.
void check_answers(int runs, const Value& filtered, const Value& ordered, const Value& grouped) {
  std::size_t few = 0;
  std::map<std::pair<int, int>, std::pair<double, int>> means;
  double least = 1e9;
  for (int i = 0; i < runs; ++i) {
    const Cell cell = cell_of(i);
    if (cell.text == 3) ++few;
    if (wer_of(i) < 0.2) least = std::min(least, wer_of(i));
    if (cell.depth != 0) continue;
    auto& [sum, count] = means[{cell.text, cell.speech}];
    sum += wer_of(i);
    ++count;
  }
  check(filtered.find("runs")->if_array()->size() == few, "runs with align.text.layer = 3");
  const Array& best = *ordered.find("runs")->if_array();
  check(!best.empty() && best[0].find("scores.wer.value")->to_double() == least, "the least wer");
  const Array& groups = *grouped.find("groups")->if_array();
  check(groups.size() == means.size(), "groups");
  for (const Value& group : groups) {
    const Object& by = *group.find("by")->if_object();
    const int text = static_cast<int>(*by.at("align.text.layer").to_double());
    const int speech = static_cast<int>(*by.at("align.speech.layer").to_double());
    const auto& [sum, count] = means.at({text, speech});
    const double mean = *group.find("values")->if_object()->at("wer").find("mean")->to_double();
    check(std::abs(mean - sum / count) < 1e-12 && *group.find("runs") == Value(count), "a mean");
  }
}

void measure(const std::filesystem::path& folder, int runs, int questions) {
  const Running running(folder);
  CoordinatorLink client = running.dial();
  const auto began = Clock::now();
  const Work work = make_work(runs);
  submit(client, "bench", work);
  finish_all(running, work);
  std::printf("made %d runs in %.1f s\n", runs, seconds_since(began));
  const std::vector<std::pair<const char*, Object>> asked{
      {"filter", {{"query", "align.text.layer = 3"}}},
      {"filter, order, 100 rows",
       {{"query",
         "wer < 0.2 and train.lr > 1e-4 or seed = 2 order by "
         "wer limit 100"}}},
      {"filter, group, mean",
       {{"query", "model.depth = 18 and state = succeeded"},
        {"by", Array{"align.text.layer", "align.speech.layer"}},
        {"mean", Array{"wer", "sim", "utmos"}}}}};
  std::vector<Timed> first(asked.size());
  std::vector<Timed> same(asked.size());
  std::vector<Timed> after(asked.size());
  for (std::size_t i = 0; i < asked.size(); ++i) ask(client, "search", asked[i].second, first[i]);
  for (int round = 0; round < questions; ++round) {
    for (std::size_t i = 0; i < asked.size(); ++i) ask(client, "search", asked[i].second, same[i]);
  }
  for (int round = 0; round < questions; ++round) {
    for (std::size_t i = 0; i < asked.size(); ++i) {
      commit_something(client, round * static_cast<int>(asked.size()) + static_cast<int>(i));
      ask(client, "search", asked[i].second, after[i]);
    }
  }
  std::printf("first search after they came, ms: %.1f\n", first[0].ms[0]);
  for (std::size_t i = 0; i < asked.size(); ++i) {
    print_latencies(fmt::format("{}, unchanged", asked[i].first).c_str(), same[i].ms);
    print_latencies(fmt::format("{}, after a commit", asked[i].first).c_str(), after[i].ms);
  }
  Timed all;
  ask(client, "search", {{"query", "wer < 0.2 order by wer limit 1"}}, all);
  check_answers(runs, same[0].answer, all.answer, same[2].answer);
  std::printf("answers are those of what was put in\n");
}

}  // namespace
}  // namespace strata::bench

int main(int argc, char** argv) {
  std::filesystem::path folder = std::filesystem::temp_directory_path();
  int runs = 10'000;
  int questions = 20;
  CLI::App app{"Searching runs through a whole coordinator.", "strata-bench-search"};
  app.add_option("--folder", folder, "on a local disk")->capture_default_str();
  app.add_option("--runs", runs)->capture_default_str()->check(CLI::Range(1, 100'000));
  app.add_option("--questions", questions, "of each kind")->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  strata::bench::measure(folder, runs, questions);
  return 0;
}
