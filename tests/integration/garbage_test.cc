// A running coordinator whose ports are given everything but what they are for: bytes that are no
// ZeroMQ, half handshakes, the wrong keys, messages in several parts, frames that are too large,
// frames of which some bytes are changed. It goes on answering whoever speaks properly.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <thread>
#include <zmq.hpp>

#include "base/files.h"
#include "base/json.h"
#include "base/random.h"
#include "base/subprocess.h"
#include "base/zmq/socket.h"
#include "schema/codec.h"
#include "tests/fuzz/mutate.h"
#include "tests/support/cluster_harness.h"
#include "tests/support/temporary_folder.h"

namespace strata::testing {
namespace {

namespace fs = std::filesystem;

struct GarbageTest : ::testing::Test {
  TemporaryFolder folder;
  ClusterHarness cluster{folder.path()};
  link::AddressFile address{};
  Random random{1};

  void SetUp() override {
    cluster.start_coordinator();
    address = link::read_address_file(cluster.store() / link::kAddressFileName).value();
  }
  void TearDown() override {
    EXPECT_EQ(*cluster.ask("status", Object{}).find("dispatch"), Value("running"));
    cluster.coordinator().signal(SIGTERM);
    const auto exit = cluster.coordinator().wait(std::chrono::seconds(20));
    ASSERT_TRUE(exit) << "it does not end";
    EXPECT_TRUE(exit->ok()) << exit->describe();
    if (HasFailure()) cluster.print_logs();
  }
  std::string noise(std::size_t size) {
    std::string bytes(size, '\0');
    for (char& c : bytes) c = static_cast<char>(random.bounded(256));
    return bytes;
  }
  // Whoever speaks properly is answered all the while.
  void expect_answer() { EXPECT_NE(cluster.ask("status", Object{}).find("dispatch"), nullptr); }

  // Bytes on a bare connection, which is then cut, now and then in the middle of an answer.
  void throw_at(int port, const std::string& bytes) {
    const FileDescriptor fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(static_cast<std::uint16_t>(port));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ASSERT_EQ(::connect(fd.get(), static_cast<sockaddr*>(static_cast<void*>(&to)), sizeof to), 0);
    [[maybe_unused]] ssize_t n = ::send(fd.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    char answer[64];
    if (random.bounded(2) == 0)
      n = ::recv(fd.get(), answer, sizeof answer, random.bounded(2) == 0 ? MSG_DONTWAIT : MSG_PEEK);
  }
  static int port_of(const std::string& where) {
    return std::stoi(where.substr(where.rfind(':') + 1));
  }
  // What Prometheus is told.
  double counter(const std::string& name) const {
    const auto page = run_captured(
        {.argv = {"python3", "-c",
                  "import sys, urllib.request as r; print(r.urlopen(sys.argv[1]).read().decode())",
                  "http://" + address.metrics_address + "/metrics"}});
    EXPECT_TRUE(page && page->exit.ok());
    const std::size_t at = page ? page->output.find("\n" + name + " ") : std::string::npos;
    return at == std::string::npos ? -1 : std::stod(page->output.substr(at + name.size() + 2));
  }
  zmq::socket_t dial(zmq::context_t& context, zmq::socket_type type,
                     const std::string& server_key) const {
    zmq::socket_t socket(context, type);
    socket.set(zmq::sockopt::linger, 500);
    if (!server_key.empty()) {
      const CurveKeys ours = make_curve_keys().value();
      socket.set(zmq::sockopt::curve_serverkey, server_key);
      socket.set(zmq::sockopt::curve_publickey, ours.public_key);
      socket.set(zmq::sockopt::curve_secretkey, ours.secret_key);
    }
    socket.connect(address.address);
    return socket;
  }
  static std::vector<std::string> payloads() {
    std::vector<std::string> all;
    for (const auto& entry : fs::directory_iterator(STRATA_SOURCE_DIR "/tests/fuzz/corpus/wire"))
      all.push_back(read_file(entry.path()).value());
    std::sort(all.begin(), all.end());
    return all;
  }
  // The payload with the header that it should have.
  static std::string frame_of(const std::string& payload) {
    std::string frame = encode(Message(WhoAreYou{})).value().substr(0, 8);
    for (const std::uint32_t word : {static_cast<std::uint32_t>(payload.size()), crc32c(payload)}) {
      for (int i = 0; i < 4; ++i) frame += static_cast<char>(word >> (8 * i));
    }
    return frame + payload;
  }
};

TEST_F(GarbageTest, BytesThatAreNoHandshakeAndHandshakesThatEndInTheMiddle) {
  // The greeting of ZMTP 3.1 and what may follow it (rfc.zeromq.org/spec/37).
  std::string greeting("\xFF\0\0\0\0\0\0\0\x01\x7F\x03\x01", 12);
  std::string null_mechanism = greeting + std::string("NULL") + std::string(16, '\0');
  null_mechanism.resize(64, '\0');
  std::string curve = greeting + std::string("CURVE") + std::string(15, '\0');
  curve.resize(64, '\0');
  const std::vector<std::string> begun{greeting, null_mechanism, curve,
                                       curve + std::string("\x04\xC8\x05HELLO\x01", 9), ""};
  for (const std::string& where : {address.address, address.metrics_address}) {
    for (int i = 0; i < 60; ++i) {
      std::string bytes = begun[random.bounded(begun.size())] + noise(random.bounded(400));
      if (random.bounded(3) == 0) bytes.resize(random.bounded(bytes.size() + 1));
      if (i % 10 == 0) bytes = "GET /" + noise(i * 20U) + " HTTP/1.1\r\nHost: x\r\n\r\n";
      throw_at(port_of(where), bytes);
    }
    expect_answer();
  }
}

TEST_F(GarbageTest, PeersWithTheWrongKeysOrNoneAreNotHeard) {
  zmq::context_t context;
  const std::string frame = encode(Message(Request{.id = 1, .verb = "status"})).value();
  for (const std::string& key : {std::string(), make_curve_keys().value().public_key}) {
    auto stranger = dial(context, zmq::socket_type::dealer, key);
    stranger.set(zmq::sockopt::rcvtimeo, 300);
    static_cast<void>(stranger.send(zmq::buffer(frame), zmq::send_flags::dontwait));
    zmq::message_t answer;
    EXPECT_FALSE(stranger.recv(answer).has_value());
  }
  expect_answer();
}

TEST_F(GarbageTest, MessagesInPartsEmptyOnesAndOnesThatAreTooLarge) {
  zmq::context_t context;
  auto peer = dial(context, zmq::socket_type::dealer, address.public_key);
  const std::string frame = encode(Message(Heartbeat{.worker = WorkerId(1)})).value();
  for (int i = 0; i < 200; ++i) {
    const std::uint64_t parts = random.bounded(5);
    for (std::uint64_t part = 0; part < parts; ++part)
      peer.send(zmq::buffer(part % 2 == 0 ? frame : noise(random.bounded(50))),
                zmq::send_flags::sndmore);
    peer.send(zmq::buffer(i % 3 == 0 ? std::string() : frame), zmq::send_flags::none);
  }
  auto request = dial(context, zmq::socket_type::req, address.public_key);  // an empty part first
  request.send(zmq::buffer(frame), zmq::send_flags::none);
  auto large = dial(context, zmq::socket_type::dealer, address.public_key);
  large.send(zmq::buffer(std::string(20U << 20U, 'x')), zmq::send_flags::none);
  EXPECT_TRUE(ClusterHarness::eventually([&] {
    return counter("strata_frames_garbage_total") > 100;
  })) << "they did not arrive";
}

TEST_F(GarbageTest, FramesOfWhichSomeBytesAreChanged) {
  auto peer = DealerSocket::connect(address.address, address.public_key).value();
  const std::vector<std::string> corpus = payloads();
  ASSERT_GT(corpus.size(), 20U);
  for (int i = 0; i < 3'000; ++i) {
    std::string payload =
        fuzz::mutate(corpus[random.bounded(corpus.size())].substr(1), {}, corpus, random);
    std::string frame = random.bounded(4) == 0 ? payload : frame_of(payload);
    if (random.bounded(8) == 0) frame.resize(random.bounded(frame.size() + 1));
    while (peer.send(frame).value() == Sent::kFull) expect_answer();
    while (peer.receive().value().has_value()) {
    }
    if (i % 500 == 0) expect_answer();
  }
  EXPECT_TRUE(ClusterHarness::eventually([&] {
    return counter("strata_frames_garbage_total") > 1'000;
  })) << "they did not arrive";
}

}  // namespace
}  // namespace strata::testing
