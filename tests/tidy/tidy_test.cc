// A test over the source tree: the rules of CONTRIBUTING.md that text alone can enforce.

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "base/files.h"
#include "base/subprocess.h"
#include "base/utf8.h"

namespace strata {
namespace {

constexpr std::size_t kLineMax = 100;  // as in .clang-format
// Of a line that holds a string, which clang-format leaves whole.
constexpr std::size_t kLiteralLineMax = 200;
constexpr std::size_t kFileLinesMax = 600;

struct SourceFile {
  std::string path;  // relative to the root
  std::vector<std::string> lines;
};

// What git would commit: tracked files and new ones that are not ignored.
const std::vector<SourceFile>& all_files() {
  static const std::vector<SourceFile> files = [] {
    std::vector<SourceFile> found;
    const auto listed = run_captured(
        {.argv = {"git", "-c", "safe.directory=*", "ls-files", "-co", "--exclude-standard"},
         .folder = STRATA_SOURCE_DIR});
    std::istringstream paths(listed ? listed->output : "");
    for (std::string path; std::getline(paths, path);) {
      const auto text = read_file(std::filesystem::path(STRATA_SOURCE_DIR) / path);
      if (!text) continue;
      SourceFile file{.path = path, .lines = {}};
      std::istringstream in(*text);
      for (std::string line; std::getline(in, line);) file.lines.push_back(line);
      found.push_back(std::move(file));
    }
    return found;
  }();
  return files;
}

bool ends_with(const std::string& text, std::string_view end) {
  return std::string_view(text).ends_with(end);
}
bool is_cpp(const SourceFile& file) {
  return ends_with(file.path, ".h") || ends_with(file.path, ".cc");
}

// The room of a path, by the longest folder that is one.
std::string room_of(const std::string& path) {
  static const std::vector<std::pair<std::string, std::string>> kRooms{
      {"base/audio/", "base_audio"},
      {"base/torch/", "base_torch"},
      {"base/zmq/", "base_zmq"},
      {"base/", "base"},
      {"schema/", "schema"},
      {"link/", "link"},
      {"coordinator/core/", "coordinator_core"},
      {"coordinator/", "coordinator"},
      {"worker/core/", "worker_core"},
      {"worker/", "worker"},
      {"evaluator/core/", "evaluator_core"},
      {"evaluator/", "evaluator"},
      {"trainer/", "trainer"},
      {"cli/", "cli"}};
  for (const auto& [prefix, room] : kRooms) {
    if (path.starts_with(prefix)) return room;
  }
  return "";
}

// cmake/layers.cmake is the one table of arrows; here it is read, not repeated.
std::map<std::string, std::set<std::string>> declared_arrows() {
  std::map<std::string, std::set<std::string>> arrows;
  const std::regex line(R"(^set\(STRATA_ARROWS_(\w+)\s*([^)]*)\))");
  for (const SourceFile& file : all_files()) {
    if (file.path != "cmake/layers.cmake") continue;
    for (const std::string& text : file.lines) {
      std::smatch match;
      if (!std::regex_search(text, match, line)) continue;
      std::istringstream names(match[2].str());
      auto& targets = arrows[match[1].str()];
      for (std::string name; names >> name;) {
        if (name != "\"\"") targets.insert(name);
      }
    }
  }
  return arrows;
}

std::string include_of(const std::string& line) {
  static const std::regex kInclude(R"(^\s*#\s*include\s*[<"]([^>"]+)[>"])");
  std::smatch match;
  return std::regex_search(line, match, kInclude) ? match[1].str() : "";
}

// Every complaint is a line "file:line: what", so that an editor can jump there.
class Complaints {
 public:
  void add(const SourceFile& file, std::size_t line, const std::string& what) {
    text_ += fmt::format("\n{}:{}: {}", file.path, line + 1, what);
  }
  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  std::string text_;
};

TEST(Tidy, TheTreeIsFound) { ASSERT_GT(all_files().size(), 50U); }

TEST(Tidy, EveryIncludeFollowsADeclaredArrow) {
  const auto arrows = declared_arrows();
  ASSERT_TRUE(arrows.contains("coordinator_core"));
  Complaints complaints;
  for (const SourceFile& file : all_files()) {
    const std::string room = room_of(file.path);
    if (!is_cpp(file) || room.empty()) continue;
    for (std::size_t i = 0; i < file.lines.size(); ++i) {
      const std::string target = room_of(include_of(file.lines[i]));
      if (target.empty() || target == room ||
          (arrows.contains(room) && arrows.at(room).contains(target)))
        continue;
      complaints.add(file, i, "no arrow " + room + " -> " + target + " in cmake/layers.cmake");
    }
  }
  EXPECT_EQ(complaints.text(), "");
}

TEST(Tidy, OutsideLibrariesAreIncludedOnlyWhereTheyAreWrapped) {
  const std::map<std::string, std::set<std::string>> homes{
      {"zmq.hpp", {"base/zmq/"}},
      {"zmq.h", {"base/zmq/"}},
      {"SQLiteCpp/", {"coordinator/"}},
      {"sqlite3.h", {"coordinator/"}},
      {"prometheus/", {"coordinator/exporter"}},
      {"cereal/", {"schema/codec_fields.h"}},
      {"yaml-cpp/", {"schema/yaml.cc"}},
      {"re2/", {"schema/log_policy.cc"}},
      {"mpi.h", {"trainer/collective/"}},
      {"nccl.h", {"trainer/collective/"}},
      {"torch/torch.h", {"base/torch/torch.h"}},
      {"torch/script.h", {"base/torch/"}},
      {"sndfile", {"base/audio/"}},
      {"openssl/", {"base/sha256.cc"}},
      {"nlohmann/", {"base/json.cc"}},
      {"spdlog/", {"base/log.cc"}},
      {"utf8proc.h", {"evaluator/core/"}},
      {"CLI/", {"cli/", "main.cc"}},
  };
  Complaints complaints;
  for (const SourceFile& file : all_files()) {
    if (!is_cpp(file) || file.path.starts_with("tests/")) continue;
    for (std::size_t i = 0; i < file.lines.size(); ++i) {
      const std::string included = include_of(file.lines[i]);
      for (const auto& [library, places] : homes) {
        if (!included.starts_with(library)) continue;
        const bool home = std::any_of(places.begin(), places.end(), [&](const std::string& place) {
          return file.path.starts_with(place) ||
                 (place == "main.cc" && ends_with(file.path, "main.cc"));
        });
        if (!home) complaints.add(file, i, included + " is wrapped elsewhere");
      }
    }
  }
  EXPECT_EQ(complaints.text(), "");
}

TEST(Tidy, PureRoomsHaveNoClockThreadOrInputAndOutput) {
  const std::vector<std::string> pure{"schema/", "coordinator/core/", "worker/core/",
                                      "evaluator/core/"};
  const std::vector<std::string> banned{
      "system_clock", "steady_clock", "sleep_for",         "random_device",
      "<thread>",     "<mutex>",      "<fstream>",         "<iostream>",
      "spdlog",       "unordered_",   "std::rand",         "getenv",
      "base/log.h",   "base/files.h", "base/subprocess.h", "SystemClock"};
  Complaints complaints;
  for (const SourceFile& file : all_files()) {
    if (!is_cpp(file) || std::none_of(pure.begin(), pure.end(), [&](const std::string& room) {
          return file.path.starts_with(room);
        }))
      continue;
    for (std::size_t i = 0; i < file.lines.size(); ++i) {
      const std::string code = file.lines[i].substr(0, file.lines[i].find("//"));
      for (const std::string& word : banned) {
        // It has a hash table that nobody can walk through.
        if (word == "unordered_" && file.path == "coordinator/core/key_index.h") continue;
        if (code.find(word) != std::string::npos) complaints.add(file, i, word + " in a pure room");
      }
    }
  }
  EXPECT_EQ(complaints.text(), "");
}

TEST(Tidy, NothingIsLeftForLaterInTheCode) {
  const std::regex unfinished(R"(\b(TODO|FIXME|XXX|HACK)\b)");
  const std::regex banned(
      R"(using namespace (?!std::(\w+::)*\w*literals)|std::views::|GTEST_SKIP|DISABLED_)");
  Complaints complaints;
  for (const SourceFile& file : all_files()) {
    const bool code =
        is_cpp(file) || ends_with(file.path, ".py") || file.path.starts_with("scripts/");
    if (!code || file.path == "tests/tidy/tidy_test.cc") continue;
    for (std::size_t i = 0; i < file.lines.size(); ++i) {
      if (std::regex_search(file.lines[i], unfinished)) complaints.add(file, i, "unfinished");
      if (is_cpp(file) && std::regex_search(file.lines[i], banned))
        complaints.add(file, i, "not used here");
    }
  }
  EXPECT_EQ(complaints.text(), "");
}

TEST(Tidy, LinesAndFilesKeepTheirLimits) {
  Complaints complaints;
  for (const SourceFile& file : all_files()) {
    if (!is_cpp(file)) continue;
    if (file.lines.size() > kFileLinesMax)
      complaints.add(file, kFileLinesMax, "two rooms? the file has more than 600 lines");
    for (std::size_t i = 0; i < file.lines.size(); ++i) {
      const std::size_t columns = decode_utf8_lossy(file.lines[i]).size();
      const bool literal = file.lines[i].find('"') != std::string::npos;
      if (columns > (literal ? kLiteralLineMax : kLineMax))
        complaints.add(file, i, fmt::format("{} columns", columns));
      if (file.lines[i].find('\t') != std::string::npos) complaints.add(file, i, "a tab");
    }
  }
  EXPECT_EQ(complaints.text(), "");
}

TEST(Tidy, EveryHeaderSaysOnceWhatItIs) {
  Complaints complaints;
  for (const SourceFile& file : all_files()) {
    if (!ends_with(file.path, ".h")) continue;
    if (file.lines.empty() || !file.lines[0].starts_with("//"))
      complaints.add(file, 0, "a header begins by saying what it is");
    const bool guarded =
        std::find(file.lines.begin(), file.lines.end(), "#pragma once") != file.lines.end();
    if (!guarded) complaints.add(file, 0, "#pragma once is missing");
  }
  EXPECT_EQ(complaints.text(), "");
}

TEST(Tidy, EveryTestFileIsRegistered) {
  std::string lists;
  for (const SourceFile& file : all_files()) {
    if (!ends_with(file.path, "CMakeLists.txt")) continue;
    for (const std::string& line : file.lines) lists += line + "\n";
  }
  Complaints complaints;
  for (const SourceFile& file : all_files()) {
    if (!file.path.starts_with("tests/") ||
        !(ends_with(file.path, "_test.cc") || ends_with(file.path, "_test.py")))
      continue;
    const std::string name = std::filesystem::path(file.path).filename().string();
    if (lists.find(name) == std::string::npos)
      complaints.add(file, 0, "no CMakeLists.txt names it: it never runs");
  }
  EXPECT_EQ(complaints.text(), "");
}

TEST(Tidy, EveryHeaderIsIncludedBySomeone) {
  std::set<std::string> included;
  for (const SourceFile& file : all_files()) {
    for (const std::string& line : file.lines) included.insert(include_of(line));
  }
  Complaints complaints;
  for (const SourceFile& file : all_files()) {
    if (ends_with(file.path, ".h") && !included.contains(file.path))
      complaints.add(file, 0, "nobody includes it");
  }
  EXPECT_EQ(complaints.text(), "");
}

}  // namespace
}  // namespace strata
