// Clients: each keeps one sweep file, submits it until it is acknowledged, and now and then edits
// it, submits it again, cancels the sweep or asks for a retry. What is not answered is asked again.

#include <algorithm>

#include "base/json.h"
#include "tests/simulation/world.h"
#include "tests/support/sample_sweep.h"

namespace strata::simulation {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::int64_t kCellsMax = 7;    // of one file
constexpr std::int64_t kWidestGang = 4;  // slots; no quota is smaller
constexpr std::int64_t kMemoryOfSlot = 3'000;

coordinator::PeerId client_of(std::size_t plan) { return coordinator::PeerId(1 + plan); }

}  // namespace

// Sweeps that share their first stages: prepare -> extract -> train x n -> score x n.
void World::make_plans() {
  const std::size_t sweeps = 2 + random_.bounded(3);
  for (std::size_t s = 0; s < sweeps; ++s) {
    Plan plan{.sweep = fmt::format("sweep-{}", s + 1)};
    plan.priority = static_cast<std::int64_t>(random_.bounded(3));
    plan.options.user = s % 2 == 0 ? "ada" : "bob";
    plan.options.weight = static_cast<std::int64_t>(1 + random_.bounded(3));
    plan.options.slots_max =
        chance(0.3) ? kWidestGang + static_cast<std::int64_t>(random_.bounded(3)) : 0;
    plan.options.preempts = chance(0.4);
    plan.options.search = search_of(s);
    plan.plots = Random::hash(Random::hash(options_.seed) ^ (20'000 + s)) % 3 == 0;
    const auto corpus = static_cast<std::int64_t>(random_.bounded(2));
    TaskSpec prepare = testing::make_task("prepare", corpus);
    TaskSpec extract = testing::make_task("extract", corpus, {prepare}, 2);
    extract.resources.ranks = 2;
    plan.shared = {prepare, extract};
    for (std::int64_t cell = 0; cell < kCellsMax; ++cell) make_cell(plan, corpus, cell);
    const auto lines = static_cast<std::int64_t>(2 + random_.bounded(4));
    for (std::int64_t line = 0; line < lines; ++line) plan.lines.insert(line);
    plans_.push_back(std::move(plan));
  }
}

// A source of its own, so that seeds are what they were without searches. A training has 8 steps or
// more.
std::optional<SearchDefinition> World::search_of(std::uint64_t salt) const {
  Random random(Random::hash(options_.seed) ^ Random::hash(10'000 + salt));
  if (random.uniform() < 0.4) return std::nullopt;
  SearchDefinition search{.stage = "train", .metric = "loss"};
  if (random.uniform() < 0.25) search.method = SearchMethod::kMedian;
  search.minimize = random.uniform() < 0.5;
  search.rungs = {static_cast<std::int64_t>(1 + random.bounded(4))};
  while (search.rungs.size() < 3 && random.uniform() < 0.6)
    search.rungs.push_back(search.rungs.back() + static_cast<std::int64_t>(1 + random.bounded(6)));
  search.reduction = static_cast<std::int64_t>(2 + random.bounded(2));
  search.others_min = static_cast<std::int64_t>(1 + random.bounded(3));
  return search;
}

// The same cell is the same task in every sweep, so what it needs follows from its name alone.
void World::make_cell(Plan& plan, std::int64_t corpus, std::int64_t cell) {
  Random shape(Random::hash(options_.seed) ^
               Random::hash(static_cast<std::uint64_t>(100 * corpus + cell)));
  const auto slots = static_cast<std::int64_t>(1 + shape.bounded(kWidestGang));
  TaskSpec train = testing::make_task("train", 100 * corpus + cell, plan.shared, slots);
  train.resources.ranks = slots;
  train.resources.memory_mb = kMemoryOfSlot * slots;
  train.resources.expected_ms = shape.bounded(2) == 0 ? 100'000 : 0;
  if (shape.bounded(2) == 0) {
    Resources more = train.resources;
    more.memory_mb = 4 * train.resources.memory_mb / 3;
    train.fallbacks = {more};
  }
  train.lease_ms = shape.bounded(3) == 0 ? 600'000 : 60'000;
  train.grace_ms = 5'000 * static_cast<std::int64_t>(1 + shape.bounded(4));
  train.retry = {.user_failures_max = static_cast<std::int64_t>(3 + shape.bounded(4)),
                 .infra_failures_max = static_cast<std::int64_t>(2 + shape.bounded(4))};
  TaskSpec score = testing::make_task("score", cell, {train});
  score.scoring = true;
  score.lease_ms = 60'000;
  score.retry.infra_failures_max = 3;
  plan.cells[cell] = {train, score};
}

namespace {

// Outputs are no part of a key: another sweep may want the same training without its log.
void ask_for_log(TaskSpec& task) { task.outputs = {"log", "result"}; }

TaskSpec plot_of(const TaskSpec& extract, const TaskSpec& train) {
  TaskSpec plot = testing::make_task("plot", 1);
  plot.inputs = {{.name = "from_extract", .producer = extract.key, .output = "log"},
                 {.name = "from_train", .producer = train.key, .output = "log"}};
  plot.key = compute_key(plot);
  plot.lease_ms = 60'000;
  return plot;
}

}  // namespace

SubmitTasks World::submission_of(const Plan& plan) const {
  std::vector<TaskSpec> tasks = plan.shared;
  for (TaskSpec& task : tasks) task.lease_ms = 60'000;
  if (plan.plots) ask_for_log(tasks.back());
  std::vector<RunSpec> runs;
  for (const std::int64_t line : plan.lines) {
    const std::vector<TaskSpec>& own = plan.cells.at(line);
    std::vector<TaskSpec> stages = plan.shared;
    stages.insert(stages.end(), own.begin(), own.end());
    tasks.insert(tasks.end(), own.begin(), own.end());
    if (plan.plots) {
      ask_for_log(tasks.at(tasks.size() - own.size()));
      stages.push_back(plot_of(plan.shared.back(), own.front()));
      tasks.push_back(stages.back());
    }
    runs.push_back(testing::make_run(fmt::format("cell {}", line), 1, stages));
  }
  SubmitTasks submission = testing::make_submission(plan.sweep, std::move(tasks), std::move(runs));
  submission.id = plan.request;
  submission.priority = plan.priority;
  submission.options = plan.options;
  return submission;
}

void World::plan_requests(std::size_t index) {
  Instant when = now_ + between(seconds(0), seconds(200));
  schedule_at(when, [this, index] { ask(index, Ask::kSubmit); });
  while (when < now_ + options_.faults_for - seconds(200)) {
    when = when + between(seconds(40), seconds(250));
    const double whim = random_.uniform();
    schedule_at(when, [this, index, whim] {
      Plan& plan = plans_[index];
      if (plan.asking || !faults_on_) return;
      if (whim < fates_.cancel * 0.3) return ask(index, Ask::kCancel);
      if (whim > 1 - fates_.retry * 0.5) return ask(index, Ask::kRetry);
      if (chance(fates_.edit * 0.5)) edit(plan);
      ask(index, Ask::kSubmit);
    });
  }
}

// Drops lines and adds others; now and then the priority changes, too.
void World::edit(Plan& plan) {
  ++statistics_.edits;
  for (std::int64_t cell = 0; cell < kCellsMax; ++cell) {
    if (!chance(0.3)) continue;
    if (plan.lines.erase(cell) == 0) plan.lines.insert(cell);
  }
  if (plan.lines.empty()) plan.lines.insert(0);
  if (chance(0.3)) plan.priority = static_cast<std::int64_t>(random_.bounded(3));
  if (Random::hash(static_cast<std::uint64_t>(statistics_.edits)) % 4 == 0)
    plan.options.search = search_of(100 + static_cast<std::uint64_t>(statistics_.edits));
  if (Random::hash(static_cast<std::uint64_t>(777 + statistics_.edits)) % 3 == 0)
    plan.plots = !plan.plots;
  trace(fmt::format("{} is edited: lines {}", plan.sweep, fmt::join(plan.lines, " ")));
}

void World::ask(std::size_t index, Ask what) {
  Plan& plan = plans_[index];
  if (plan.asking) return;
  plan.asking = what;
  plan.request = ++requests_;
  if (what == Ask::kSubmit) {
    plan.acknowledged = false;
    for (const TaskSpec& task : submission_of(plan).tasks) asked_.insert(task.key);
  }
  if (what == Ask::kCancel) plan.cancelled = true;  // whether or not its answer arrives
  say(index, plan.request);
}

void World::say(std::size_t index, std::uint64_t request) {
  const Plan& plan = plans_[index];
  if (!plan.asking || plan.request != request) return;
  schedule_at(now_ + seconds(20), [this, index, request] { say(index, request); });
  if (!core_) return;
  if (*plan.asking == Ask::kSubmit) {
    ++statistics_.submissions;
    give(client_of(index), submission_of(plan));
  } else if (*plan.asking == Ask::kCancel) {
    trace("cancel " + plan.sweep);
    give(client_of(index), coordinator::CancelSweep{.request = request, .sweep = plan.sweep});
  } else {
    ++statistics_.retries;
    std::vector<TaskKey> keys;
    for (const TaskSpec& task : submission_of(plan).tasks) keys.push_back(task.key);
    give(client_of(index), coordinator::RetryTasks{.request = request,
                                                   .sweep = plan.sweep,
                                                   .tasks = keys,
                                                   .pruned_too = Random::hash(request) % 2 == 0});
  }
}

void World::answer_client(const Answer& answer) {
  const auto plan = std::find_if(plans_.begin(), plans_.end(), [&](const Plan& one) {
    return one.asking && one.request == answer.id;
  });
  if (plan == plans_.end()) return;
  if (fault(fates_.drop)) return;  // the client asks again: submitting twice must create nothing
  const Ask what = *plan->asking;
  plan->asking.reset();
  trace("answered " + plan->sweep + " " + answer.body);
  if (what == Ask::kCancel) {
    ++statistics_.cancels;
  } else if (what == Ask::kSubmit) {
    if (!answer.ok) return violate("submit", "a sound submission was refused: " + answer.body);
    plan->acknowledged = true;
    plan->cancelled = false;
    plan->submitted = submission_of(*plan).tasks;
  } else {
    plan->cancelled = false;  // what was cancelled is wanted again
  }
  if (!plan->acknowledged)
    ask(static_cast<std::size_t>(plan - plans_.begin()), Ask::kSubmit);  // a disk has forgotten it
}

}  // namespace strata::simulation
