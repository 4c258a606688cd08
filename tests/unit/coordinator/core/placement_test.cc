#include "coordinator/core/placement.h"

#include <gtest/gtest.h>

namespace strata::coordinator {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;

const Instant kNow{std::chrono::hours(1)};

// Machines that outlive the workers they show.
struct Room {
  std::map<WorkerId, Worker> workers{};
  std::map<std::string, Quarantine> quarantines{};

  Machine add(std::uint64_t id, std::int64_t slots, std::int64_t free, std::int64_t memory = 0) {
    Worker& worker = workers[WorkerId(id)];
    worker = {.name = "w" + std::to_string(id),
              .slots = slots,
              .free = free,
              .memory_mb = memory,
              .memory_free_mb = memory};
    return {.id = WorkerId(id), .worker = &worker, .free = free, .memory_free_mb = memory};
  }
};

Needs slots(std::int64_t n) { return {.resources = {.slots = n}, .grace_ms = 20'000}; }

TEST(Obstacle, StandingOnesAreNamedBeforeThoseThatPass) {
  Room room;
  Machine machine = room.add(1, 2, 0);
  room.workers.at(WorkerId(1)).draining = true;
  machine.silent = true;
  EXPECT_EQ(obstacle(slots(3), machine, kNow), Obstacle::kSlots);
  EXPECT_EQ(obstacle(slots(2), machine, kNow), Obstacle::kDraining);
  room.workers.at(WorkerId(1)).draining = false;
  EXPECT_EQ(obstacle(slots(2), machine, kNow), Obstacle::kSilent);
  machine.silent = false;
  EXPECT_EQ(obstacle(slots(2), machine, kNow), Obstacle::kBusy);
  machine.free = 2;
  EXPECT_EQ(obstacle(slots(2), machine, kNow), std::nullopt);
}

TEST(Obstacle, MemoryCountsOnlyWhereTheWorkerSaysWhatItHas) {
  Room room;
  Needs needs = slots(1);
  needs.resources.memory_mb = 1000;
  EXPECT_EQ(obstacle(needs, room.add(1, 1, 1), kNow), std::nullopt);
  EXPECT_EQ(obstacle(needs, room.add(2, 1, 1, 999), kNow), Obstacle::kMemory);
  Machine machine = room.add(3, 1, 1, 1000);
  EXPECT_EQ(obstacle(needs, machine, kNow), std::nullopt);
  machine.memory_free_mb = 999;
  EXPECT_EQ(obstacle(needs, machine, kNow), Obstacle::kBusy);
}

TEST(Obstacle, AWorkerAboutToEndGetsWhatFitsAndWhatCanGoOnElsewhere) {
  Room room;
  Machine machine = room.add(1, 1, 1);
  machine.lifetime_left = minutes(10);
  Needs needs = slots(1);
  EXPECT_EQ(obstacle(needs, machine, kNow), std::nullopt) << "it does not say how long it takes";
  needs.resources.expected_ms = milliseconds(minutes(10)).count();
  EXPECT_EQ(obstacle(needs, machine, kNow), std::nullopt);
  ++needs.resources.expected_ms;
  EXPECT_EQ(obstacle(needs, machine, kNow), Obstacle::kLifetime);
  needs.resumable = true;
  EXPECT_EQ(obstacle(needs, machine, kNow), std::nullopt) << "ten minutes are worth beginning";
  needs.grace_ms = milliseconds(minutes(2)).count();
  EXPECT_EQ(obstacle(needs, machine, kNow), Obstacle::kLifetime) << "five checkpoints are not";
  needs.grace_ms = milliseconds(minutes(1)).count();
  EXPECT_EQ(obstacle(needs, machine, kNow), std::nullopt) << "ten are";
  machine.lifetime_left = kLifetimeLeftMin;
  EXPECT_EQ(obstacle(slots(1), machine, kNow), std::nullopt);
  machine.lifetime_left = kLifetimeLeftMin - milliseconds(1);
  EXPECT_EQ(obstacle(slots(1), machine, kNow), Obstacle::kLifetime);
}

TEST(Obstacle, AQuarantinedWorkerGetsOneTaskAtATimeOnceItMayProveItself) {
  Room room;
  Quarantine quarantine{.reason = "Xid 79"};
  Machine machine = room.add(1, 2, 2);
  machine.quarantine = &quarantine;
  EXPECT_EQ(obstacle(slots(1), machine, kNow), Obstacle::kQuarantined);
  quarantine.probing = true;
  EXPECT_EQ(obstacle(slots(1), machine, kNow), std::nullopt);
  machine.free = 1;
  EXPECT_EQ(obstacle(slots(1), machine, kNow), Obstacle::kQuarantined);
}

TEST(Placement, TakesTheTightestFitAndThenTheLowestId) {
  Room room;
  const std::vector<Machine> machines{room.add(1, 4, 4), room.add(2, 4, 2), room.add(3, 4, 2)};
  const Placement placement = place(slots(2), machines, kNow);
  EXPECT_EQ(std::get<Placed>(placement).gang,
            (Gang{{.worker = WorkerId(2), .slots = 2, .memory_mb = 0}}));
}

TEST(Placement, SaysWhatEachWorkerLacks) {
  Room room;
  std::vector<Machine> machines{room.add(1, 4, 1), room.add(2, 2, 2), room.add(3, 4, 4)};
  machines[2].silent = true;
  const Placement placement = place(slots(4), machines, kNow);
  EXPECT_EQ(std::get<Waiting>(placement).reason,
            "needs 4 slots together, 1 free on w1 (of 3 workers 1 too small, 1 silent, 1 busy)");
}

TEST(Placement, WhatNoWorkerCouldEverHoldIsInfeasibleAndNotWaiting) {
  Room room;
  EXPECT_EQ(std::get<Infeasible>(place(slots(1), {}, kNow)).reason,
            "needs 1 slot; no worker has joined");
  const std::vector<Machine> machines{room.add(1, 4, 0, 1000)};
  EXPECT_EQ(std::get<Infeasible>(place(slots(5), machines, kNow)).reason,
            "needs 5 slots together; the largest worker has 4");
  Needs needs = slots(1);
  needs.resources.memory_mb = 2000;
  EXPECT_EQ(std::get<Infeasible>(place(needs, machines, kNow)).reason,
            "needs 1 slot and 2000 MiB; the largest worker has 1000 MiB");
  needs.resources.slots = 3;
  const std::vector<Machine> uneven{room.add(1, 4, 4, 1000), room.add(2, 2, 2, 4000)};
  EXPECT_EQ(std::get<Infeasible>(place(needs, uneven, kNow)).reason,
            "needs 3 slots together and 2000 MiB; the largest worker has 1000 MiB")
      << "of those with the slots";
  needs.resources.slots = 1;
  needs.resources.labels = {"gpu"};
  EXPECT_EQ(std::get<Infeasible>(place(needs, machines, kNow)).reason,
            "needs 1 slot and 2000 MiB with label gpu; no worker that takes new tasks carries it");
}

TEST(Placement, AWorkerWhereItFailedComesBeforeOneInQuarantine) {
  Room room;
  Needs needs = slots(2);
  needs.avoids = {"w1"};
  std::vector<Machine> machines{room.add(1, 2, 2), room.add(2, 2, 2)};
  const Quarantine quarantine{.reason = "3 tasks failed there"};
  machines[1].quarantine = &quarantine;
  const Placement placement = place(needs, machines, kNow);
  ASSERT_TRUE(std::holds_alternative<Placed>(placement));
  EXPECT_EQ(std::get<Placed>(placement).gang.at(0).worker, WorkerId(1));
}

TEST(Placement, AWorkerWhereItFailedIsTakenOnlyWhenNoOtherCouldEverHoldIt) {
  Room room;
  Needs needs = slots(2);
  needs.avoids = {"w1"};
  const std::vector<Machine> both{room.add(1, 2, 2), room.add(2, 2, 0)};
  const Waiting waiting = std::get<Waiting>(place(needs, both, kNow));
  EXPECT_NE(waiting.reason.find("0 free on w2"), std::string::npos) << waiting.reason;
  EXPECT_FALSE(waiting.anywhere);
  std::vector<Machine> passing{room.add(1, 2, 2), room.add(2, 2, 2)};
  passing[1].silent = true;
  EXPECT_FALSE(std::get<Waiting>(place(needs, passing, kNow)).anywhere) << "it may be heard again";
  passing[1].silent = false;
  passing[1].reserved = Reservation{};
  EXPECT_FALSE(std::get<Waiting>(place(needs, passing, kNow)).anywhere) << "its turn will come";
  passing[1].reserved.reset();
  passing[1].lifetime_left = milliseconds(1);
  EXPECT_FALSE(std::get<Waiting>(place(needs, passing, kNow)).anywhere);
  const std::vector<Machine> full{room.add(1, 2, 0), room.add(2, 1, 1)};
  EXPECT_TRUE(std::get<Waiting>(place(needs, full, kNow)).anywhere);
  const std::vector<Machine> other_too_small{room.add(1, 2, 2), room.add(2, 1, 1)};
  EXPECT_EQ(std::get<Placed>(place(needs, other_too_small, kNow)).gang.front().worker, WorkerId(1));
}

}  // namespace
}  // namespace strata::coordinator
