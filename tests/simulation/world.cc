#include "tests/simulation/world.h"

#include <algorithm>

#include "base/assert.h"

namespace strata::simulation {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::size_t kTraceKept = 4'000;
constexpr std::size_t kStoryNaming = 15;
constexpr std::size_t kStoryLast = 12;
constexpr double kMirrorPass = 1.0 / 30;  // chance in a second

// The words of a violation by which lines of the trace are found: keys, attempts, workers, sweeps.
std::vector<std::string> subjects_of(const std::string& text) {
  std::vector<std::string> subjects;
  std::string word;
  const auto take = [&] {
    const std::string key = word.substr(0, word.find('#'));
    const bool hex = key.size() == 8 && key.find_first_not_of("0123456789abcdef") == key.npos;
    const bool worker = word.size() == 2 && word[0] == 'w' && word[1] >= '0' && word[1] <= '9';
    if (hex) subjects.push_back(key);
    if (worker || word.starts_with("sweep-")) subjects.push_back(word);
    word.clear();
  };
  for (const char c : text) {
    const bool part = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || c == '#' || c == '-';
    if (part) {
      word += c;
    } else {
      take();
    }
  }
  take();
  return subjects;
}

}  // namespace

World::World(WorldOptions options) : options_(options), random_(options.seed) {
  choose_fates();
  workers_.resize(2 + random_.bounded(4));
  for (std::size_t i = 0; i < workers_.size(); ++i) {
    workers_[i].name = fmt::format("w{}", i + 1);
    workers_[i].slots = static_cast<std::int64_t>(1 + random_.bounded(4));
    workers_[i].memory_mb = chance(0.7) ? 4'000 * workers_[i].slots : 0;
  }
  workers_.back().slots = 4;  // one that can hold the widest gang
  workers_.back().memory_mb = 16'000;
  make_plans();
}

World::~World() = default;

void World::choose_fates() {
  const auto maybe = [&](double rate) {
    return chance(0.7) ? rate * (0.3 + random_.uniform()) : 0.0;
  };
  fates_.drop = maybe(0.03);
  fates_.duplicate = maybe(0.03);
  fates_.delay = maybe(0.05);
  fates_.partition = maybe(0.01);
  fates_.stall = maybe(0.004);
  fates_.crash_coordinator = maybe(0.004);
  fates_.tear = maybe(0.6);
  fates_.rot = maybe(0.05);
  fates_.lose_disk = maybe(0.15);
  fates_.full = maybe(0.004);
  fates_.clock = maybe(0.01);
  fates_.drift = maybe(1.0);
  fates_.crash_worker = maybe(0.004);
  fates_.fail = maybe(0.25);
  fates_.lose_rank = maybe(0.15);
  fates_.diverge = maybe(0.05);
  fates_.evict = maybe(0.01);
  fates_.cancel = maybe(0.3);
  fates_.edit = maybe(1.5);
  fates_.retry = maybe(0.5);
  fates_.shut_down = maybe(0.004);
  fates_.drain = maybe(0.002);
  fates_.lie = maybe(0.02);
  fates_.break_machine = maybe(0.002);
  fates_.lifetime = maybe(0.4);
  fates_.stubborn = maybe(0.2);
}

// --- plumbing ---

void World::schedule_at(Instant when, std::function<void()> what) {
  queue_.emplace(std::make_pair(std::max(when, now_), ++sequence_), std::move(what));
}

Duration World::between(milliseconds low, milliseconds high) {
  return low + milliseconds(static_cast<std::int64_t>(
                   random_.bounded(static_cast<std::uint64_t>((high - low).count() + 1))));
}

void World::trace(std::string line) {
  const auto ms = std::chrono::duration_cast<milliseconds>(now_.since_boot()).count();
  line = fmt::format("{:>6}.{:03} s  {}", ms / 1000, ms % 1000, line);
  for (const char c : line) trace_hash_ = Random::hash(trace_hash_ ^ static_cast<unsigned char>(c));
  trace_.push_back(std::move(line));
  if (trace_.size() > kTraceKept) trace_.pop_front();
}

void World::violate(std::string invariant, std::string text) {
  violate(Violation{std::move(invariant), std::move(text)});
}

void World::violate(std::optional<Violation> found) {
  if (!found || violation_) return;
  violation_ = std::move(found);
  trace_at_violation_.assign(trace_.begin(), trace_.end());
}

std::string World::story() const {
  if (!violation_) return "";
  const std::vector<std::string> subjects = subjects_of(violation_->text);
  const std::size_t lines = trace_at_violation_.size();
  const std::size_t last = lines - std::min(lines, kStoryLast);
  std::vector<std::string> naming;
  for (std::size_t i = last; i-- > 0 && naming.size() < kStoryNaming;) {
    const std::string& line = trace_at_violation_[i];
    const bool names = std::any_of(subjects.begin(), subjects.end(), [&](const std::string& s) {
      return line.find(s) != std::string::npos;
    });
    if (names) naming.push_back(line);
  }
  std::string text = violation_->text + "\n";
  for (std::size_t i = naming.size(); i-- > 0;) text += "  " + naming[i] + "\n";
  text += "  ...\n";
  for (std::size_t i = last; i < lines; ++i) text += "  " + trace_at_violation_[i] + "\n";
  return text;
}

std::string World::digest() const {
  std::string all = fmt::format("{}", trace_hash_);
  for (const std::string& event : log_) all += event;
  return content_hash_of(all).hex();
}

void World::run() {
  coordinator::broken = options_.broken;
  start_coordinator();
  for (std::size_t i = 0; i < workers_.size(); ++i) start_worker(i);
  for (std::size_t i = 0; i < plans_.size(); ++i) plan_requests(i);
  schedule_at(now_, [this] { tick(); });
  schedule_at(now_, [this] { inject(); });
  const Instant faults_end = now_ + options_.faults_for;
  const Instant hard_end = faults_end + options_.end_within;
  bool cut_short = false;
  while (!violation_ && !queue_.empty() && !cut_short) {
    const auto first = queue_.begin();
    now_ = first->first.first;
    coordinator::machine_clock_ms =
        std::chrono::duration_cast<milliseconds>(now_.since_boot()).count();
    const std::function<void()> what = std::move(first->second);
    queue_.erase(first);
    if (faults_on_ && now_ >= faults_end) end_faults();
    what();
    if (!faults_on_ && everything_ended()) break;
    cut_short = options_.steps_max > 0 && statistics_.steps >= options_.steps_max;
    if (now_ >= hard_end) break;
  }
  statistics_.simulated_hours = std::chrono::duration<double>(now_.since_boot()).count() / 3600;
  if (!violation_ && !cut_short) check_end();
  statistics_.preemptions = ledger_.preemptions();
  coordinator::broken = coordinator::Break::kNone;
}

// --- faults ---

// Those that strike on their own, once a virtual second.
void World::inject() {
  if (!faults_on_) return;
  if (chance(kMirrorPass)) mirrored_ = log_.size();
  if (core_ && chance(fates_.crash_coordinator)) crash_coordinator("idle");
  for (std::size_t i = 0; i < workers_.size(); ++i) inject_into_worker(i);
  if (chance(fates_.full)) {
    ++statistics_.disks_full;
    disk_full_until_ = now_ + between(seconds(1), seconds(60));
    trace("the disk of the coordinator is full");
  }
  if (chance(fates_.clock)) {
    ++statistics_.clock_jumps;
    const auto jump = static_cast<std::int64_t>(random_.bounded(2 * 86'400'000)) - 86'400'000;
    wall_offset_ms_ += jump;
    trace(fmt::format("the wall clock jumps by {} s", jump / 1000));
  }
  if (chance(fates_.evict)) {
    for (auto& [hash, artifact] : store_) {
      if (!artifact.present || !chance(0.2)) continue;
      artifact.present = false;
      ++statistics_.evictions;
      trace("artifact " + hash.brief() + " is lost from the store");
      break;
    }
  }
  for (auto& [peer, outlet] : outlets_) {
    if (!chance(fates_.stall)) continue;
    ++statistics_.stalls;
    outlet.stalled_until = now_ + between(seconds(20), seconds(240));
    trace(fmt::format("peer {} takes nothing for {} s", peer.value(),
                      std::chrono::duration_cast<seconds>(outlet.stalled_until - now_).count()));
    schedule_at(outlet.stalled_until, [this, to = peer] { flush(to); });
  }
  schedule_at(now_ + seconds(1), [this] { inject(); });
}

void World::inject_into_worker(std::size_t i) {
  SimWorker& w = workers_[i];
  if (w.agent && chance(fates_.crash_worker)) crash_worker(i);
  if (w.agent && chance(fates_.shut_down)) shut_down_worker(i);
  if (core_ && chance(fates_.drain)) drain_worker(i);
  if (w.agent && chance(fates_.lie)) lie(i);
  if (chance(fates_.break_machine)) {
    ++statistics_.broken_machines;
    w.broken_until = now_ + between(seconds(30), seconds(300));
    trace(w.name + " is broken: what runs there fails");
  }
  if (chance(fates_.partition)) {
    ++statistics_.partitions;
    w.partitioned_until = now_ + between(seconds(1), seconds(90));
    trace("partition of " + w.name);
  }
}

void World::end_faults() {
  faults_on_ = false;
  trace("faults end");
  disk_full_until_ = now_;
  for (SimWorker& w : workers_) {
    w.partitioned_until = now_;
    w.broken_until = now_;
  }
  for (auto& [peer, outlet] : outlets_) outlet.stalled_until = now_;
  std::vector<coordinator::PeerId> peers;
  for (const auto& [peer, outlet] : outlets_) peers.push_back(peer);
  for (const coordinator::PeerId peer : peers) flush(peer);
}

}  // namespace strata::simulation
