#include "worker/session.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <optional>
#include <sstream>
#include <thread>

#include "base/fields.h"
#include "base/files.h"
#include "base/json.h"
#include "base/subprocess.h"

namespace strata::worker {
namespace {

constexpr std::chrono::milliseconds kKillAgainAfter{10};
constexpr std::uint64_t kEnvironmentBytesMax = 4U << 20U;

struct ProcessStat {
  char state = 0;
  pid_t parent = 0;
  std::uint64_t started = 0;
};

std::optional<ProcessStat> stat_of(pid_t pid) {
  const auto text = read_file(fmt::format("/proc/{}/stat", pid));
  if (!text) return {};
  const std::size_t behind = text->rfind(')');
  if (behind == std::string::npos) return {};
  std::istringstream fields(text->substr(behind + 1));
  ProcessStat stat;
  fields >> stat.state >> stat.parent;
  std::string skipped;
  for (int field = 5; field < 22; ++field)
    fields >> skipped;  // fields are counted from 1, the state being the third
  fields >> stat.started;
  if (!fields) return {};
  return stat;
}

std::string boot_id() {
  auto text = read_file("/proc/sys/kernel/random/boot_id");
  if (!text) return "unknown";
  while (!text->empty() && std::isspace(static_cast<unsigned char>(text->back())) != 0)
    text->pop_back();
  return *text;
}

// Whether `entry` ("NAME=value") is in the first environment of a process.
bool carries(pid_t pid, const std::string& entry) {
  const auto environment = read_file(fmt::format("/proc/{}/environ", pid), kEnvironmentBytesMax);
  if (!environment) return false;
  std::size_t at = 0;
  while (at < environment->size()) {
    const std::size_t end = std::min(environment->find('\0', at), environment->size());
    if (environment->compare(at, end - at, entry) == 0) return true;
    at = end + 1;
  }
  return false;
}

template <class Visit>
void each_process(const Visit& visit) {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", error)) {
    const std::string name = entry.path().filename().string();
    if (name.find_first_not_of("0123456789") == std::string::npos)
      visit(static_cast<pid_t>(std::stoi(name)));
  }
}

}  // namespace

Result<SessionRecord> record_of(pid_t leader) {
  const auto stat = stat_of(leader);
  if (!stat)
    return fail(ErrorCode::kNotFound, "reading /proc/{}/stat: the process is gone", leader);
  return SessionRecord{.session = leader, .started = stat->started, .boot = boot_id()};
}

Status write_record(const std::filesystem::path& file, const SessionRecord& record) {
  const Value value(Object{{"session", std::int64_t{record.session}},
                           {"started", record.started},
                           {"boot", record.boot},
                           {"attempt", record.attempt},
                           {"scratch", record.scratch},
                           {"folder", record.folder}});
  // Not synced: the record matters to a worker that starts again in the same boot, and sees what
  // was written.
  return write_file_unsynced(file, to_canonical_json(value) + "\n");
}

Result<SessionRecord> read_record(const std::filesystem::path& file) {
  STRATA_TRY(const std::string text, read_file(file));
  STRATA_TRY(const Value value, parse_json(text));
  Fields fields(value, file.string());
  SessionRecord record{.session = static_cast<pid_t>(fields.integer("session")),
                       .started = static_cast<std::uint64_t>(fields.integer("started")),
                       .boot = fields.text("boot"),
                       .attempt = fields.text("attempt"),
                       .scratch = fields.text("scratch", ""),
                       .folder = fields.text("folder", "")};
  fields.require(record.session > 1, "session", "expected a process id");
  STRATA_CHECK_OK(fields.finish());
  return record;
}

std::vector<pid_t> members_of(const SessionRecord& record) {
  if (record.boot != boot_id()) return {};
  const auto leader = stat_of(record.session);
  std::vector<pid_t> members;
  if (!leader || leader->started == record.started)  // else its number is somebody else's by now
    members = processes_of_session(record.session);
  if (!leader) {
    const std::string name = "STRATA_ATTEMPT=" + record.attempt;
    std::erase_if(members, [&](pid_t pid) { return !carries(pid, name); });
  }
  if (record.folder.empty()) return members;
  const std::string folder = std::string(kAttemptFolderVariable) + "=" + record.folder;
  each_process([&](pid_t pid) {
    if (std::find(members.begin(), members.end(), pid) == members.end() && carries(pid, folder))
      members.push_back(pid);
  });
  return members;
}

Status end_session(const SessionRecord& record, std::chrono::milliseconds patience) {
  for (auto waited = std::chrono::milliseconds{0};; waited += kKillAgainAfter) {
    const std::vector<pid_t> members = members_of(record);
    if (members.empty()) return {};
    for (const pid_t pid : members) ::kill(pid, SIGKILL);
    if (waited >= patience) {
      return fail(ErrorCode::kUnavailable,
                  "ending session {}: {} processes do not end, among them {}", record.session,
                  members.size(), members.front());
    }
    std::this_thread::sleep_for(kKillAgainAfter);
  }
}

std::vector<pid_t> children_of(pid_t parent) {
  std::vector<pid_t> children;
  each_process([&](pid_t pid) {
    const auto stat = stat_of(pid);
    if (stat && stat->parent == parent) children.push_back(pid);
  });
  std::sort(children.begin(), children.end());
  return children;
}

}  // namespace strata::worker
