#include "coordinator/exporter.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/support/core_env.h"
#include "tests/unit/coordinator/small_world.h"

namespace strata::coordinator {
namespace {

std::string scrape(const std::string& address) {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port =
      htons(static_cast<std::uint16_t>(std::stoi(address.substr(address.rfind(':') + 1))));
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof to), 0);  // NOLINT: the socket API
  const std::string request = "GET /metrics HTTP/1.0\r\n\r\n";
  EXPECT_EQ(write(fd, request.data(), request.size()), static_cast<ssize_t>(request.size()));
  std::string text;
  std::array<char, 4096> buffer{};
  for (ssize_t n = 0; (n = read(fd, buffer.data(), buffer.size())) > 0;)
    text.append(buffer.data(), static_cast<std::size_t>(n));
  close(fd);
  return text;
}

TEST(Exporter, GaugesAreComputedFromTheClusterAndNoLabelNamesATask) {
  SmallWorld world;
  world.join(2);
  world.submit();
  world.start(world.extract);
  ServerCounts counts;
  counts.add_commit(0.003);
  counts.add_commit(99);
  auto exporter = Exporter::open("127.0.0.1:0").value();
  exporter.update(take_snapshot(world.core.cluster(), counts));
  const std::string text = scrape(exporter.address());
  EXPECT_NE(text.find("strata_tasks{stage=\"extract\",state=\"running\"} 1"), std::string::npos)
      << text;
  EXPECT_NE(text.find("strata_tasks{stage=\"train\",state=\"blocked\"} 2"), std::string::npos);
  EXPECT_NE(text.find("strata_sweep_runs{sweep=\"small\"} 2"), std::string::npos);
  EXPECT_NE(text.find("strata_slots_free 1"), std::string::npos);
  EXPECT_NE(text.find("strata_commit_seconds_bucket{le=\"0.005\"} 1"), std::string::npos);
  EXPECT_NE(text.find("strata_commit_seconds_count 2"), std::string::npos);
  EXPECT_EQ(text.find(world.extract.key.brief()), std::string::npos);
}

TEST(Exporter, ARungSaysWhatBecameOfThoseWhoReachedIt) {
  strata::testing::CoreEnv env;
  env.add_worker(2);
  const TaskSpec one = strata::testing::make_task("train", 1);
  const TaskSpec two = strata::testing::make_task("train", 2);
  SubmitTasks submission = strata::testing::make_submission("searching", {one, two});
  submission.options.search = SearchDefinition{.method = SearchMethod::kAsha,
                                               .stage = "train",
                                               .metric = "loss",
                                               .rungs = {10},
                                               .reduction = 2};
  env.submit(submission);
  env.step({}, RungReport{.attempt = env.take<StartAttempt>().at(0).attempt,
                          .metric = "loss",
                          .step = 10,
                          .value = 0.5});
  auto exporter = Exporter::open("127.0.0.1:0").value();
  exporter.update(take_snapshot(env.cluster(), {}));
  const std::string text = scrape(exporter.address());
  EXPECT_NE(text.find("strata_sweep_rung_tasks{"), std::string::npos) << text;
}

TEST(Exporter, AMirrorHasFiguresAndNoMirrorHasNone) {
  SmallWorld world;
  auto exporter = Exporter::open("127.0.0.1:0").value();
  Snapshot snapshot = take_snapshot(world.core.cluster(), {});
  exporter.update(snapshot);
  EXPECT_EQ(scrape(exporter.address()).find("\nstrata_mirror_lag_seconds "), std::string::npos);
  snapshot.mirror = MirrorStatus{.lag_seconds = 12, .every_seconds = 30, .failures = 2};
  exporter.update(snapshot);
  const std::string text = scrape(exporter.address());
  EXPECT_NE(text.find("strata_mirror_lag_seconds 12"), std::string::npos) << text;
  EXPECT_NE(text.find("strata_mirror_failures_total 2"), std::string::npos);
}

TEST(Exporter, CountsHowAttemptsEndedAndWhichWorkersWereLost) {
  ServerCounts counts;
  counts.add_committed({.body = AttemptEnded{.outcome = Diverged{}}});
  counts.add_committed({.body = AttemptEnded{.outcome = Lost{}}});
  SmallWorld world;
  world.join();
  world.step(world.worker_peer,
             Goodbye{.worker = world.worker, .session = 77, .reason = "asked by SIGTERM"});
  for (const Event& event : world.uncommitted) counts.add_committed(event);
  counts.add_committed({.body = WorkerGone{.reason = "silent and holding nothing"}});
  counts.add_committed({.body = WorkerGone{.reason = "the worker was restarted"}});
  auto exporter = Exporter::open("127.0.0.1:0").value();
  exporter.update(take_snapshot(world.core.cluster(), counts));
  const std::string text = scrape(exporter.address());
  EXPECT_NE(text.find("strata_attempts_ended_total{outcome=\"diverged\"} 1"), std::string::npos)
      << text;
  EXPECT_NE(text.find("strata_attempts_ended_total{outcome=\"lost\"} 1"), std::string::npos);
  EXPECT_NE(text.find("strata_attempts_ended_total{outcome=\"failed\"} 0"), std::string::npos)
      << "from the first scrape on";
  EXPECT_NE(text.find("strata_workers_gone_total{how=\"left\"} 1"), std::string::npos);
  EXPECT_NE(text.find("strata_workers_gone_total{how=\"lost\"} 2"), std::string::npos);
}

TEST(Exporter, AWorkerInQuarantineIsNotReady) {
  SmallWorld world;
  world.join();
  Cluster cluster = world.core.cluster();
  EXPECT_EQ(take_snapshot(cluster, {}).workers_ready, 1);
  cluster.apply({.body = WorkerQuarantined{.name = "box", .reason = "Xid 79", .for_ms = 1'000}});
  auto exporter = Exporter::open("127.0.0.1:0").value();
  exporter.update(take_snapshot(cluster, {}));
  const std::string text = scrape(exporter.address());
  EXPECT_NE(text.find("strata_workers{state=\"quarantined\"} 1"), std::string::npos) << text;
  EXPECT_NE(text.find("strata_workers{state=\"ready\"} 0"), std::string::npos);
}

TEST(Exporter, AStageThatIsGoneIsNotShownAnyMore) {
  SmallWorld world;
  world.join();
  world.submit();
  auto exporter = Exporter::open("127.0.0.1:0").value();
  exporter.update(take_snapshot(world.core.cluster(), {}));
  exporter.update(take_snapshot(Cluster(), {}));
  EXPECT_EQ(scrape(exporter.address()).find("stage=\"extract\""), std::string::npos);
}

TEST(Exporter, APortInUseIsAnErrorWithAdvice) {
  auto first = Exporter::open("127.0.0.1:0").value();
  const auto second = Exporter::open(first.address());
  ASSERT_FALSE(second);
  EXPECT_NE(second.error().message.find("--metrics"), std::string::npos);
}

}  // namespace
}  // namespace strata::coordinator
