// Two clients that submit at the same moment: what both want is created once, whatever the order of
// their batches, and whatever commits fail meanwhile.
#include <gtest/gtest.h>

#include <atomic>
#include <set>
#include <thread>

#include "base/json.h"
#include "coordinator/event_store.h"
#include "coordinator/fsck.h"
#include "coordinator/service.h"
#include "coordinator/sqlite.h"
#include "link/coordinator_link.h"
#include "tests/support/sample_sweep.h"
#include "tests/support/temporary_folder.h"

namespace strata {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kTasks = 1'000;  // of each client
constexpr std::size_t kShared = 600;   // of them, wanted by both
constexpr std::size_t kBatch = 20;
constexpr auto kPatience = 30'000ms;
constexpr int kFullDisks = 3;
constexpr int kTries = 500;  // of a batch, while commits fail

class Racing : public ::testing::Test {
 protected:
  void SetUp() override {
    auto started = coordinator::Service::start(
        {.store = temporary_ / "store", .metrics = "", .build = "test"});
    ASSERT_TRUE(started) << started.error().message;
    service_ = std::move(*started);
    thread_ = std::jthread([this] { EXPECT_TRUE(service_->run()); });
  }
  void TearDown() override { down(); }
  void down() {
    if (!service_) return;
    service_->stop();
    thread_.join();
    service_.reset();
  }

  static std::vector<TaskSpec> tasks_from(std::size_t first) {
    std::vector<TaskSpec> tasks;
    for (std::size_t i = first; i < first + kTasks; ++i)
      tasks.push_back(testing::make_task("train", static_cast<std::int64_t>(i)));
    return tasks;
  }

  struct Told {
    std::int64_t created = 0;
    std::int64_t kept = 0;
    std::string error{};
  };
  // Batch by batch, each of its tasks with a run; one that is refused because commits fail is sent
  // again.
  Told submit(const std::string& sweep, const std::vector<TaskSpec>& tasks) {
    Told told;
    auto line = link::CoordinatorLink::open(service_->address_file());
    if (!line) return {.error = line.error().message};
    ready_.fetch_add(1);
    while (ready_.load() < clients_) std::this_thread::yield();
    for (std::size_t at = 0; at < tasks.size(); at += kBatch) {
      SubmitTasks batch = testing::make_submission(sweep, {});
      batch.first = at == 0;
      batch.last = at + kBatch >= tasks.size();
      for (std::size_t i = at; i < std::min(at + kBatch, tasks.size()); ++i) {
        batch.tasks.push_back(tasks[i]);
        batch.runs.push_back(testing::make_run(std::to_string(i), 1, {tasks[i]}));
      }
      for (int tries = 0;; ++tries) {
        const auto answer = line->submit(batch, kPatience);
        if (!answer) return {.error = answer.error().message};
        const Value body = parse_json(answer->body).value();
        if (answer->ok) {
          told.created += *body.find("created")->if_number()->to_integer();
          told.kept += *body.find("kept")->if_number()->to_integer();
          break;
        }
        if (*body.find("code") != Value("unavailable") || tries == kTries)
          return {.error = answer->body};
        std::this_thread::sleep_for(20ms);
      }
    }
    return told;
  }

  // Whether a commit fails meanwhile.
  bool is_paused_within(std::chrono::milliseconds patience) const {
    auto line = link::CoordinatorLink::open(service_->address_file());
    const auto until = std::chrono::steady_clock::now() + patience;
    while (line && std::chrono::steady_clock::now() < until) {
      const auto answer = line->ask("status", "{}", kPatience);
      if (!answer) return false;
      if (answer->body.find("paused: ") != std::string::npos) return true;
      std::this_thread::sleep_for(5ms);
    }
    return false;
  }

  // Rows and events, when the coordinator has ended.
  std::int64_t number(const std::string& sql) {
    SQLite::Database database((temporary_ / "store/tables.sqlite").string(), SQLite::OPEN_READONLY);
    return database.execAndGet(sql).getInt64();
  }
  std::int64_t tasks_wanted() {
    std::int64_t wanted = 0;
    const auto damage = coordinator::read_events(
        temporary_ / "store/events.sqlite", [&](const coordinator::StoredEvent& stored) -> Status {
          wanted += std::holds_alternative<TaskWanted>(stored.event.body) ? 1 : 0;
          return {};
        });
    EXPECT_TRUE(damage && !*damage);
    return wanted;
  }
  void expect_each_once(const Told& one, const Told& two) {
    EXPECT_EQ(one.error, "");
    EXPECT_EQ(two.error, "");
    constexpr auto kAll = static_cast<std::int64_t>(2 * kTasks - kShared);
    EXPECT_EQ(one.created + two.created, kAll);
    EXPECT_EQ(one.kept + two.kept, static_cast<std::int64_t>(kShared));
    down();
    EXPECT_EQ(number("SELECT count(*) FROM task"), kAll);
    EXPECT_EQ(number("SELECT count(*) FROM want"), static_cast<std::int64_t>(2 * kTasks));
    EXPECT_EQ(tasks_wanted(), static_cast<std::int64_t>(2 * kTasks));
    EXPECT_EQ(number("SELECT count(*) FROM run WHERE sweep = 'one'"),
              static_cast<std::int64_t>(kTasks));
    EXPECT_EQ(number("SELECT count(*) FROM sweep WHERE sealed = 1"), 2);
    const auto checked = coordinator::fsck(temporary_ / "store/events.sqlite");
    ASSERT_TRUE(checked) << checked.error().message;
    EXPECT_TRUE(checked->sound()) << checked->text();
  }

  testing::TemporaryFolder temporary_;
  std::unique_ptr<coordinator::Service> service_;
  std::jthread thread_;
  std::atomic<int> ready_{0};
  int clients_ = 2;
};

TEST_F(Racing, OverlappingSweepsCreateEachTaskOnce) {
  Told one;
  Told two;
  {
    std::jthread first([&] { one = submit("one", tasks_from(0)); });
    std::jthread second([&] { two = submit("two", tasks_from(kTasks - kShared)); });
  }
  expect_each_once(one, two);
}

TEST_F(Racing, TheSameWhileCommitsFailHalfWay) {
  int pauses = 0;
  Told one;
  Told two;
  {
    service_->limit_event_pages(1);  // however slow the machine is, the first commit fails
    std::jthread first([&] { one = submit("one", tasks_from(0)); });
    std::jthread second([&] { two = submit("two", tasks_from(kTasks - kShared)); });
    pauses += is_paused_within(20'000ms) ? 1 : 0;
    service_->limit_event_pages(0);
    for (int i = 0; i < kFullDisks; ++i) {
      std::this_thread::sleep_for(40ms);
      service_->limit_event_pages(1);
      pauses += is_paused_within(1'000ms) ? 1 : 0;
      service_->limit_event_pages(0);
    }
  }
  EXPECT_GT(pauses, 0) << "no commit failed: the test shows nothing";
  expect_each_once(one, two);
}

TEST_F(Racing, TheStoreItselfRefusesASecondTaskOfTheSameKey) {
  clients_ = 1;
  EXPECT_EQ(submit("one", tasks_from(0)).error, "");
  down();
  SQLite::Database database((temporary_ / "store/tables.sqlite").string(), SQLite::OPEN_READWRITE);
  EXPECT_THROW(database.exec("INSERT INTO task SELECT * FROM task LIMIT 1"), SQLite::Exception)
      << "a UNIQUE key, not code";
}

}  // namespace
}  // namespace strata
