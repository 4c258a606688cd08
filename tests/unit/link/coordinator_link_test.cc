#include "link/coordinator_link.h"

#include <gtest/gtest.h>

#include <thread>

#include "schema/codec.h"

namespace strata::link {
namespace {

using namespace std::chrono_literals;

struct LinkTest : testing::Test {
  std::filesystem::path file =
      make_temporary_folder(testing::TempDir(), "link").value() / kAddressFileName;
  RouterSocket router = RouterSocket::bind("tcp://127.0.0.1:0", {}).value();

  void SetUp() override {
    ASSERT_TRUE(write_address_file(file, {.address = router.address(), .pid = 7}));
  }

  std::optional<Received> next() {
    WaitItem item = router.wait_item();
    if (wait_any({&item, 1}, 10'000ms).value() == 0) return std::nullopt;
    return router.receive().value();
  }
};

TEST_F(LinkTest, AnAnswerWithAnotherIdAndGarbageAreSkipped) {
  auto link = CoordinatorLink::open(file).value();
  std::jthread server([&] {
    const auto question = next();
    ASSERT_TRUE(question);
    const auto request = std::get<Request>(decode_message(question->bytes).value());
    EXPECT_EQ(request.verb, "status");
    ASSERT_TRUE(router.send(question->peer, "garbage"));
    ASSERT_TRUE(router.send(question->peer,
                            encode(Message(Answer{.id = request.id + 9, .ok = true})).value()));
    ASSERT_TRUE(
        router.send(question->peer,
                    encode(Message(Answer{.id = request.id, .ok = true, .body = "{}"})).value()));
  });
  const auto answer = link.ask("status", "{}", 10'000ms);
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_EQ(answer->body, "{}");
  EXPECT_EQ(link.garbage(), 1U);
}

TEST_F(LinkTest, NoAnswerIsAnErrorThatNamesTheAddress) {
  auto link = CoordinatorLink::open(file).value();
  const auto answer = link.ask("status", "{}", 20ms);
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, ErrorCode::kUnavailable);
  EXPECT_NE(answer.error().message.find(router.address()), std::string::npos);
}

TEST_F(LinkTest, ACoordinatorThatMovedIsFoundAgain) {
  auto link = CoordinatorLink::open(file).value();
  EXPECT_FALSE(link.refresh().value());
  router = RouterSocket::bind("tcp://127.0.0.1:0", {}).value();
  ASSERT_TRUE(write_address_file(file, {.address = router.address(), .pid = 8}));
  EXPECT_TRUE(link.refresh().value());
  ASSERT_TRUE(link.send(WhoAreYou{}));
  const auto received = next();
  ASSERT_TRUE(received);
  EXPECT_TRUE(std::holds_alternative<WhoAreYou>(decode_message(received->bytes).value()));
}

}  // namespace
}  // namespace strata::link
