// A whole coordinator over real loopback sockets: durable acknowledgements at a given rate, metric
// points from many clients, the longest turn of the control loop while people ask for the worst
// things at once, and a scrape.
//
//   strata-bench-server ack --rate 10000 --tasks 30000
//   strata-bench-server ingest --clients 20 --seconds 5
//   strata-bench-server loop --tasks 100000
#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <thread>

#include "base/json.h"
#include "tests/bench/running_coordinator.h"

namespace strata::bench {
namespace {

using namespace std::chrono_literals;

TaskSpec task(std::int64_t number) {
  TaskSpec spec{.stage = "true",
                .program = {.name = "true", .argv = {"/bin/true"}},
                .parameters = Value(Object{{"i", number}})};
  spec.key = compute_key(spec);
  return spec;
}

double submit(CoordinatorLink& client, const std::string& sweep, std::int64_t count) {
  const auto began = Clock::now();
  for (std::int64_t at = 0; at < count; at += static_cast<std::int64_t>(kTasksPerBatchMax)) {
    SubmitTasks batch{.sweep = sweep, .definition = "{}", .first = at == 0};
    const std::int64_t end = std::min(count, at + static_cast<std::int64_t>(kTasksPerBatchMax));
    batch.last = end == count;
    for (std::int64_t i = at; i < end; ++i) {
      batch.tasks.push_back(task(i));
      RunSpec run{.cell = "c", .seed = static_cast<std::uint64_t>(i)};
      run.tasks["true"] = batch.tasks.back().key;
      run.key = compute_key(run);
      batch.runs.push_back(std::move(run));
    }
    const Answer answer = needed(client.submit(std::move(batch), kPatience));
    if (!answer.ok) need(fail(ErrorCode::kInternal, "{}", answer.body));
  }
  return seconds_since(began);
}

// The text that Prometheus is given, and how long it took.
std::pair<std::string, double> scrape(const std::string& address) {
  const auto began = Clock::now();
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port =
      htons(static_cast<std::uint16_t>(std::stoi(address.substr(address.rfind(':') + 1))));
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  std::string text;
  if (fd >= 0 && ::connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof(to)) == 0) {
    const std::string ask = "GET /metrics HTTP/1.0\r\n\r\n";
    if (::send(fd, ask.data(), ask.size(), 0) > 0) {
      std::string part(65'536, '\0');
      for (ssize_t n = 0; (n = ::recv(fd, part.data(), part.size(), 0)) > 0;)
        text.append(part, 0, static_cast<std::size_t>(n));
    }
  }
  if (fd >= 0) ::close(fd);
  return {text, seconds_since(began)};
}
double gauge(const std::string& text, const std::string& name) {
  const std::size_t at = text.find("\n" + name + " ");
  return at == std::string::npos ? -1 : std::stod(text.substr(at + name.size() + 2));
}

// Each report of an end is answered when it is durable. Grants, starts and ends are three events.
void measure_ack(const std::filesystem::path& folder, double rate, std::int64_t tasks) {
  const Running running(folder);
  CoordinatorLink client = running.dial();
  submit(client, "bench", tasks);
  BenchWorker worker{.link = running.dial()};
  worker.join(256);
  std::map<AttemptId, Clock::time_point> sent;
  std::deque<AttemptId> orders;
  std::vector<double> ms;
  const auto began = Clock::now();
  const double pause = 3.0 / rate;
  std::int64_t reported = 0;
  while (static_cast<std::int64_t>(ms.size()) < tasks) {
    const auto due = [&] { return seconds_since(began) >= pause * static_cast<double>(reported); };
    while (!orders.empty() && due()) {
      const AttemptId attempt = orders.front();
      orders.pop_front();
      send_to(worker.link, ReportStarted{.worker = worker.id, .attempt = attempt});
      sent[attempt] = Clock::now();
      send_to(worker.link,
              ReportEnded{.worker = worker.id, .attempt = attempt, .outcome = Succeeded{}});
      ++reported;
    }
    const auto message = needed(worker.link.receive(1ms));
    if (!message) continue;
    if (const auto* order = std::get_if<StartAttempt>(&*message)) {
      if (!sent.contains(order->attempt)) orders.push_back(order->attempt);
    } else if (const auto* ack = std::get_if<EndedAck>(&*message)) {
      ms.push_back(1e3 * seconds_since(sent.at(ack->attempt)));
    }
  }
  std::printf("events a second       %10.0f (asked for %.0f)\n",
              3 * static_cast<double>(tasks) / seconds_since(began), rate);
  print_latencies("acknowledgement", std::move(ms));
}

struct IngestOptions {
  int clients = 20;
  double seconds = 5;
  double rate = 0;  // points a second of all clients; 0: as fast as the window lets them
  std::uint64_t window = 4;
};

constexpr std::uint64_t kBatchPoints = 10;
double value_of(std::uint64_t client, std::uint64_t sequence) {
  return static_cast<double>(client + 1) / static_cast<double>(sequence);
}

// One sender of batches of 10 points. Each fifth batch is overtaken by the one after it, each
// seventh is sent twice, each ninth is followed by one that was acknowledged long ago; what nobody
// acknowledges is sent again after 2 s, as a worker does.
class IngestClient {
 public:
  IngestClient(CoordinatorLink link, WorkerId worker, const AttemptId& attempt,
               std::uint64_t number, const IngestOptions& options)
      : link_(std::move(link)),
        worker_(worker),
        attempt_(attempt),
        number_(number),
        options_(options) {}

  void run(Clock::time_point began) {
    const double pause = options_.rate > 0 ? kBatchPoints * options_.clients / options_.rate : 0;
    const auto due = [&](std::uint64_t batch) {
      return began + std::chrono::duration_cast<Clock::duration>(
                         std::chrono::duration<double>(pause * static_cast<double>(batch)));
    };
    const auto going_on = [&] { return seconds_since(began) < options_.seconds || next_ % 5 == 4; };
    while (going_on() || !sent_.empty()) {
      auto wait = std::chrono::milliseconds(2'000);
      while (going_on() && sent_.size() < options_.window) {
        const auto now = Clock::now();
        if (pause > 0 && due(next_) > now) {
          wait = std::chrono::ceil<std::chrono::milliseconds>(due(next_) - now);
          break;
        }
        send_next(pause > 0 ? due(next_) : now);
      }
      const auto message = needed(link_.receive(wait));
      if (message) take(*message);
      if (!message && wait >= 2'000ms) {
        for (const auto& [batch, at] : sent_) send(batch);
      }
    }
  }

  [[nodiscard]] std::uint64_t points() const { return next_ * kBatchPoints; }
  [[nodiscard]] const std::vector<double>& milliseconds() const { return ms_; }
  [[nodiscard]] const AttemptId& attempt() const { return attempt_; }
  [[nodiscard]] std::uint64_t number() const { return number_; }
  std::uint64_t repeated = 0;
  std::uint64_t reordered = 0;

 private:
  void send(std::uint64_t batch) {
    MetricBatch message{.worker = worker_, .attempt = attempt_};
    for (std::uint64_t i = batch * kBatchPoints + 1; i <= (batch + 1) * kBatchPoints; ++i) {
      message.points.push_back({.sequence = i,
                                .step = static_cast<std::int64_t>(i),
                                .values = {{"loss", value_of(number_, i)}}});
    }
    send_to(link_, message);
  }
  void send_next(Clock::time_point at) {
    const std::uint64_t turn = next_++;
    const bool early = turn % 5 == 3;
    const std::uint64_t batch = early ? turn + 1 : turn % 5 == 4 ? turn - 1 : turn;
    if (early) ++reordered;
    sent_[batch] = at;
    send(batch);
    if (turn % 7 == 6) repeat(batch);
    if (turn % 9 == 8) repeat(turn - 8);
  }
  void repeat(std::uint64_t batch) {
    send(batch);
    ++repeated;
  }
  void take(const Message& message) {
    const auto* ack = std::get_if<MetricAck>(&message);
    if (ack == nullptr) return;
    while (!sent_.empty() && (sent_.begin()->first + 1) * kBatchPoints <= ack->up_to) {
      ms_.push_back(1e3 * seconds_since(sent_.begin()->second));
      sent_.erase(sent_.begin());
    }
  }

  CoordinatorLink link_;
  WorkerId worker_;
  AttemptId attempt_;
  std::uint64_t number_;
  const IngestOptions& options_;
  std::uint64_t next_ = 0;
  std::map<std::uint64_t, Clock::time_point> sent_;
  std::vector<double> ms_;
};

// Asks for each series as `strata plot` does. How many points are there, and how many are not what
// was sent, missing and surplus ones included.
std::pair<std::uint64_t, std::uint64_t> read_back(CoordinatorLink& link, const IngestClient& sent) {
  const Answer answer = needed(link.ask(
      "metrics", to_canonical_json(Object{{"prefix", sent.attempt().task.hex()}}), kPatience));
  const Value body = needed(parse_json(answer.body));
  const Value* points = body.find("points");
  if (points == nullptr) need(fail(ErrorCode::kInternal, "{}", answer.body));
  std::uint64_t wrong = 0;
  std::uint64_t sequence = 0;
  for (const Value& point : *points->if_array()) {
    ++sequence;
    const Value expected(value_of(sent.number(), sequence));
    const Value* value = point.find("values.loss");
    const bool same = value != nullptr && *value == expected &&
                      *point.find("step") == Value(sequence) &&
                      point.find("values")->if_object()->size() == 1;
    if (!same) ++wrong;
  }
  const std::uint64_t there = sequence;
  wrong += there > sent.points() ? there - sent.points() : sent.points() - there;
  return {there, wrong};
}

std::vector<AttemptId> start_attempts(BenchWorker& worker, std::size_t count) {
  std::vector<AttemptId> attempts;
  while (attempts.size() < count) {
    const auto message = needed(worker.link.receive(kPatience));
    const auto* order = message ? std::get_if<StartAttempt>(&*message) : nullptr;
    if (order == nullptr || std::ranges::find(attempts, order->attempt) != attempts.end()) continue;
    send_to(worker.link, ReportStarted{.worker = worker.id, .attempt = order->attempt});
    attempts.push_back(order->attempt);
  }
  return attempts;
}

// What the disk takes for one small append at this moment, with nothing else of ours: no durable
// acknowledgement is faster, and one that comes while another commit is under way waits for two.
std::vector<double> sync_latencies(const std::filesystem::path& folder) {
  const std::string file = needed(make_temporary_folder(folder, "strata-bench-sync-")) / "appended";
  const FileDescriptor fd(::open(file.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  const std::string bytes(16U << 10U, 'x');
  std::vector<double> ms;
  for (const auto began = Clock::now(); fd.valid() && seconds_since(began) < 1;) {
    if (::write(fd.get(), bytes.data(), bytes.size()) < 0) break;
    const auto wrote = Clock::now();
    if (::fdatasync(fd.get()) != 0) break;
    ms.push_back(1e3 * seconds_since(wrote));
  }
  std::filesystem::remove_all(std::filesystem::path(file).parent_path());
  return ms;
}

void measure_ingest(const std::filesystem::path& folder, const IngestOptions& options) {
  std::vector<double> sync = sync_latencies(folder);
  const Running running(folder);
  CoordinatorLink client = running.dial();
  submit(client, "bench", options.clients);
  BenchWorker worker{.link = running.dial()};
  worker.join(options.clients);
  std::vector<std::unique_ptr<IngestClient>> clients;
  for (const AttemptId& attempt :
       start_attempts(worker, static_cast<std::size_t>(options.clients))) {
    clients.push_back(std::make_unique<IngestClient>(running.dial(), worker.id, attempt,
                                                     clients.size(), options));
  }
  const auto began = Clock::now();
  {
    std::vector<std::jthread> threads;
    for (auto& one : clients) threads.emplace_back([&one, began] { one->run(began); });
  }
  const double took = seconds_since(began);
  std::uint64_t points = 0;
  std::uint64_t there = 0;
  std::uint64_t wrong = 0;
  std::uint64_t repeated = 0;
  std::uint64_t reordered = 0;
  std::vector<double> all;
  const auto asked = Clock::now();
  for (const auto& one : clients) {
    points += one->points();
    repeated += one->repeated;
    reordered += one->reordered;
    all.insert(all.end(), one->milliseconds().begin(), one->milliseconds().end());
    const auto [read, different] = read_back(client, *one);
    there += read;
    wrong += different;
  }
  std::printf("points a second       %10.0f\n", static_cast<double>(points) / took);
  print_latencies("acknowledgement of a batch of 10", std::move(all));
  const std::vector<double> afterwards = sync_latencies(folder);
  sync.insert(sync.end(), afterwards.begin(), afterwards.end());
  print_latencies("fdatasync of 16 KiB alone, before and after", std::move(sync));
  std::printf("batches               %10llu, %llu repeated, %llu overtaken\n",
              static_cast<unsigned long long>(points / kBatchPoints),
              static_cast<unsigned long long>(repeated),
              static_cast<unsigned long long>(reordered));
  std::printf("read back             %10llu of %llu points, %llu of them wrong, in %.1f s\n",
              static_cast<unsigned long long>(there), static_cast<unsigned long long>(points),
              static_cast<unsigned long long>(wrong), seconds_since(asked));
  if (wrong > 0) need(fail(ErrorCode::kInternal, "what was read back is not what was sent"));
}

void measure_loop(const std::filesystem::path& folder, std::int64_t tasks) {
  const Running running(folder);
  CoordinatorLink client = running.dial();
  const std::string metrics = client.address().metrics_address;
  const auto gap = [&](const char* what) {
    std::this_thread::sleep_for(2'200ms);  // the exporter is told once a second
    const auto [text, took] = scrape(metrics);
    std::printf("longest turn so far, after %-28s %8.1f ms; this scrape %.1f ms\n", what,
                1e3 * gauge(text, "strata_loop_gap_max_seconds"), 1e3 * took);
  };
  BenchWorker worker{.link = running.dial()};
  worker.join(64);
  std::printf("submitting %lld tasks took %.1f s\n", static_cast<long long>(tasks),
              submit(client, "bench", tasks));
  gap("the submission");
  const auto ask = [&](const std::string& verb, Object body) {
    CoordinatorLink link = running.dial();
    const auto began = Clock::now();
    const Answer answer = needed(link.ask(verb, to_canonical_json(Value(body)), kPatience));
    std::printf("  %s: %s, %.0f ms\n", verb.c_str(), answer.ok ? "ok" : answer.body.c_str(),
                1e3 * seconds_since(began));
  };
  ask("watch", {{"sweep", "bench"}});
  gap("watch");
  ask("cancel", {{"sweep", "bench"}});
  gap("cancel");
  ask("retry", {{"sweep", "bench"}});
  gap("retry");
  {
    std::vector<std::jthread> all;
    all.emplace_back([&] { ask("cancel", {{"sweep", "bench"}}); });
    all.emplace_back([&] { ask("watch", {{"sweep", "bench"}}); });
    all.emplace_back([&] { ask("retry", {{"sweep", "bench"}}); });
    all.emplace_back([&] {
      CoordinatorLink link = running.dial();
      submit(link, "bench", tasks);
    });
  }
  gap("all of it at once");
}

}  // namespace
}  // namespace strata::bench

int main(int argc, char** argv) {
  std::filesystem::path folder = std::filesystem::temp_directory_path();
  double rate = 10'000;
  std::int64_t tasks = 30'000;
  strata::bench::IngestOptions ingesting;
  CLI::App app{"A whole coordinator over loopback sockets.", "strata-bench-server"};
  app.require_subcommand(1);
  app.add_option("--folder", folder, "on a local disk")->capture_default_str();
  CLI::App* ack = app.add_subcommand("ack", "durable acknowledgements");
  ack->add_option("--rate", rate, "events a second")->capture_default_str();
  ack->add_option("--tasks", tasks)->capture_default_str();
  CLI::App* ingest = app.add_subcommand("ingest", "metric points");
  ingest->add_option("--clients", ingesting.clients)->capture_default_str();
  ingest->add_option("--seconds", ingesting.seconds)->capture_default_str();
  ingest->add_option("--rate", ingesting.rate,
                     "points a second; 0: as fast as the window lets them");
  ingest->add_option("--window", ingesting.window, "batches under way, of each client")
      ->capture_default_str();
  CLI::App* loop = app.add_subcommand("loop", "the longest turn of the control loop");
  loop->add_option("--tasks", tasks)->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  if (*ack) strata::bench::measure_ack(folder, rate, tasks);
  if (*ingest) strata::bench::measure_ingest(folder, ingesting);
  if (*loop) strata::bench::measure_loop(folder, tasks);
  return 0;
}
