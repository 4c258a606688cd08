#include "worker/secrets.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <sstream>

#include "base/files.h"

extern char** environ;

namespace strata::worker {
namespace {

constexpr std::string_view kPrefix = "STRATA_SECRET_";

Status read_secret_file(const std::filesystem::path& file,
                        std::map<std::string, std::string>& values) {
  struct stat info {};
  if (::stat(file.c_str(), &info) != 0) {
    if (errno == ENOENT) return {};
    return fail(ErrorCode::kUnavailable, "secrets {}: {}", file.string(), std::strerror(errno));
  }
  if ((info.st_mode & 077U) != 0 || info.st_uid != ::geteuid()) {
    return fail(ErrorCode::kInvalid, "secrets {}: others may read it; run: chmod 600 {}",
                file.string(), file.string());
  }
  STRATA_TRY(const std::string text, read_file(file));
  std::istringstream lines(text);
  int number = 0;
  for (std::string line; std::getline(lines, line);) {
    ++number;
    if (line.empty() || line.front() == '#') continue;
    const std::size_t equals = line.find('=');
    if (equals == 0 || equals == std::string::npos) {
      return fail(ErrorCode::kInvalid, "secrets {}:{}: expected NAME=value", file.string(),
                  number);  // never the line itself
    }
    values[line.substr(0, equals)] = line.substr(equals + 1);
  }
  return {};
}

}  // namespace

Result<Secrets> Secrets::gather(const std::filesystem::path& file) {
  Secrets secrets;
  STRATA_CHECK_OK(read_secret_file(file, secrets.values_));
  std::vector<std::string> variables;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text(*entry);
    const std::size_t equals = text.find('=');
    if (!text.starts_with(kPrefix) || equals == std::string_view::npos) continue;
    const std::string_view name = text.substr(kPrefix.size(), equals - kPrefix.size());
    if (!name.empty()) secrets.values_[std::string(name)] = text.substr(equals + 1);
    variables.emplace_back(text.substr(0, equals));
  }
  for (const std::string& variable : variables) ::unsetenv(variable.c_str());
  return secrets;
}

Result<std::map<std::string, std::string>> Secrets::resolve(
    const std::vector<std::string>& names) const {
  std::map<std::string, std::string> resolved;
  for (const std::string& name : names) {
    const auto it = values_.find(name);
    if (it == values_.end()) {
      return fail(ErrorCode::kNotFound,
                  "secret {}: this worker does not know it; start it with STRATA_SECRET_{} set, or "
                  "add a line {}=... to the file `secrets` in its folder",
                  name, name, name);
    }
    resolved.emplace(name, it->second);
  }
  return resolved;
}

std::string Secrets::redact(std::string text) const {
  std::vector<std::pair<std::string, std::string>> longest_first(values_.begin(), values_.end());
  // One value may begin like another: the shorter one must not leave the rest of the longer one.
  std::ranges::stable_sort(longest_first, [](const auto& a, const auto& b) {
    return a.second.size() > b.second.size();
  });
  for (const auto& [name, value] : longest_first) {
    if (value.size() < kSecretShownMin) continue;
    const std::string shown = "<" + name + ">";
    for (std::size_t at = text.find(value); at != std::string::npos;
         at = text.find(value, at + shown.size())) {
      text.replace(at, value.size(), shown);
    }
  }
  return text;
}

}  // namespace strata::worker
