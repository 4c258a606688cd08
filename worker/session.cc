#include "worker/session.h"

#include <signal.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <sstream>
#include <string>
#include <thread>

#include "base/files.h"

namespace strata::worker {
namespace {

constexpr std::chrono::milliseconds kKillAgainAfter{10};
// For a moment while it executes another program, a process has no environment.
constexpr int kLooksWithout = 2;
constexpr std::uint64_t kEnvironmentBytesMax = 4U << 20U;

struct ProcessStat {
  char state = 0;
  pid_t parent = 0;
};

std::optional<ProcessStat> stat_of(pid_t pid) {
  const auto text = read_file(fmt::format("/proc/{}/stat", pid));
  if (!text) return {};
  const std::size_t behind = text->rfind(')');
  if (behind == std::string::npos) return {};
  std::istringstream fields(text->substr(behind + 1));
  ProcessStat stat;
  fields >> stat.state >> stat.parent;
  if (!fields) return {};
  return stat;
}

// By number.
std::map<pid_t, ProcessStat> all_processes() {
  std::map<pid_t, ProcessStat> all;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", error)) {
    const std::string name = entry.path().filename().string();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    const auto pid = static_cast<pid_t>(std::stoi(name));
    if (const auto stat = stat_of(pid)) all.emplace(pid, *stat);
  }
  return all;
}

bool is_over(const ProcessStat& stat) { return stat.state == 'Z' || stat.state == 'X'; }

// The attempt folder in the first environment of a process; empty: none, or it may not be read.
std::string attempt_folder_of(pid_t pid) {
  static const std::string kEntry = std::string(kAttemptFolderVariable) + "=";
  const auto environment = read_file(fmt::format("/proc/{}/environ", pid), kEnvironmentBytesMax);
  if (!environment) return {};
  for (std::size_t at = 0; at < environment->size();) {
    const std::size_t end = std::min(environment->find('\0', at), environment->size());
    if (environment->compare(at, kEntry.size(), kEntry) == 0)
      return environment->substr(at + kEntry.size(), end - at - kEntry.size());
    at = end + 1;
  }
  return {};
}

// By what the names lead to, where it sees them: a folder may have several names, and a name
// several meanings. An attempt may have removed its folder; then the name must do.
bool carries(pid_t pid, const std::filesystem::path& folder) {
  const std::filesystem::path its = attempt_folder_of(pid);
  if (its.empty()) return false;
  const std::filesystem::path root(fmt::format("/proc/{}/root", pid));
  std::error_code error;
  return its == folder || std::filesystem::equivalent(root / its.relative_path(), folder, error) ||
         std::filesystem::equivalent(root / its.parent_path().relative_path(), folder, error);
}

std::vector<pid_t> with_all_below(const std::map<pid_t, ProcessStat>& all, std::set<pid_t> roots) {
  for (bool grown = true; grown;) {
    grown = false;
    for (const auto& [pid, stat] : all) {
      if (roots.contains(stat.parent) && roots.insert(pid).second) grown = true;
    }
  }
  std::erase_if(roots, [&](pid_t pid) { return !all.contains(pid) || is_over(all.at(pid)); });
  return {roots.begin(), roots.end()};
}

}  // namespace

std::vector<pid_t> processes_in(const std::filesystem::path& folder) {
  const auto all = all_processes();
  std::set<pid_t> carriers;
  for (const auto& [pid, stat] : all) {
    if (!is_over(stat) && carries(pid, folder)) carriers.insert(pid);
  }
  return with_all_below(all, std::move(carriers));
}

std::vector<pid_t> processes_from(pid_t pid) { return with_all_below(all_processes(), {pid}); }

Result<std::size_t> end_processes_in(const std::filesystem::path& folder,
                                     std::chrono::milliseconds patience) {
  std::set<pid_t> ended;
  int looks_without = 0;
  for (auto waited = std::chrono::milliseconds{0};; waited += kKillAgainAfter) {
    const std::vector<pid_t> members = processes_in(folder);
    looks_without = members.empty() ? looks_without + 1 : 0;
    if (looks_without == kLooksWithout) return ended.size();
    ended.insert(members.begin(), members.end());
    for (const pid_t pid : members) ::kill(pid, SIGKILL);
    if (waited >= patience && !members.empty()) {
      return fail(ErrorCode::kUnavailable,
                  "ending what is left below {}: {} processes do not end, among them {}",
                  folder.string(), members.size(), members.front());
    }
    std::this_thread::sleep_for(kKillAgainAfter);
  }
}

std::vector<pid_t> children_of(pid_t parent) {
  std::vector<pid_t> children;
  for (const auto& [pid, stat] : all_processes()) {
    if (stat.parent == parent) children.push_back(pid);
  }
  return children;
}

}  // namespace strata::worker
