// strata-fuzz TARGET --seconds S --seed N --corpus DIR [FILE...]
//
// Changes inputs of the corpus for so many seconds and gives them to the target. An input that ends
// in a way that was not seen yet is kept (in memory, or with --keep DIR as a file) and changed
// further. With files, only these are run. One that crashes or takes longer than --patience is
// written to ./crash-TARGET before this program dies of it.
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <set>

#include "base/files.h"
#include "base/random.h"
#include "base/sha256.h"
#include "tests/fuzz/mutate.h"
#include "tests/fuzz/targets.h"

extern "C" void __sanitizer_set_death_callback(void (*)()) __attribute__((weak));

namespace {

namespace fs = std::filesystem;
using strata::fuzz::FuzzTarget;

// What runs now, for the handler of a crash: nothing there may allocate.
std::string crash_file;
std::string_view running;
volatile std::sig_atomic_t written = 0;

void keep_running() {
  if (written != 0) return;
  written = 1;
  const int fd = ::open(crash_file.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
  [[maybe_unused]] ssize_t n = ::write(fd, running.data(), running.size());
  constexpr std::string_view kSaid = "strata-fuzz: the input is in ";
  n = ::write(STDERR_FILENO, kSaid.data(), kSaid.size());
  n = ::write(STDERR_FILENO, crash_file.data(), crash_file.size());
  n = ::write(STDERR_FILENO, "\n", 1);
}
extern "C" void on_crash(int signal) {
  keep_running();
  std::signal(signal, SIG_DFL);
  std::raise(signal);
}

// How an input ended, without what is its own: the letters of the beginning, but what is quoted.
std::string kind_of(const std::string& said) {
  constexpr std::size_t kLettersMax = 60;
  std::string kind;
  bool quoted = false;
  for (const char c : said) {
    if (c == '"') quoted = !quoted;
    if (!quoted && c >= 'a' && c <= 'z') kind += c;
    if (kind.size() == kLettersMax) break;
  }
  return kind;
}

std::vector<std::string> read_all(const fs::path& folder) {
  std::vector<fs::path> paths;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) paths.push_back(entry.path());
  std::sort(paths.begin(), paths.end());
  std::vector<std::string> inputs;
  for (const fs::path& path : paths) {
    if (auto bytes = strata::read_file(path)) inputs.push_back(std::move(*bytes));
  }
  return inputs;
}

constexpr std::size_t kPoolMax = 5'000;  // inputs that are changed further

struct Options {
  std::string target{};
  double seconds = 30;
  std::uint64_t seed = 1;
  unsigned patience = 20;
  std::string corpus{};
  std::string keep{};
  std::vector<std::string> files{};
};

class Fuzzer {
 public:
  Fuzzer(const FuzzTarget& target, const Options& options) : target_(target), options_(options) {}

  // Whether it ended in a new way.
  bool run(const std::string& input) {
    running = input;
    written = 0;
    ::alarm(options_.patience);
    const std::string said = target_.run(input);
    ::alarm(0);
    ++runs_;
    return seen_.insert(kind_of(said)).second;
  }
  void loop() {
    for (const std::string& input : pool_) run(input);
    strata::Random random(options_.seed);
    const auto until = std::chrono::steady_clock::now() +
                       std::chrono::duration_cast<std::chrono::steady_clock::duration>(
                           std::chrono::duration<double>(options_.seconds));
    while (std::chrono::steady_clock::now() < until) {
      const std::string& base = pool_[random.bounded(pool_.size())];
      std::string input = strata::fuzz::mutate(base, target_.dictionary, pool_, random);
      if (!run(input)) continue;
      if (!options_.keep.empty()) {
        const std::string name = strata::sha256_hex(input).substr(0, 12);
        static_cast<void>(strata::write_file_unsynced(fs::path(options_.keep) / name, input));
      }
      if (pool_.size() < kPoolMax) {
        pool_.push_back(std::move(input));
      } else {
        pool_[random.bounded(pool_.size())] = std::move(input);
      }
    }
  }
  void start_with(std::vector<std::string> inputs) {
    pool_ = std::move(inputs);
    if (pool_.empty()) pool_.emplace_back();
  }
  void print() const {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    std::printf("%-10s %9llu inputs, %5zu ways to end, %5zu kept, seed %llu, at most %ld MiB\n",
                target_.name, static_cast<unsigned long long>(runs_), seen_.size(), pool_.size(),
                static_cast<unsigned long long>(options_.seed), usage.ru_maxrss / 1'024);
  }

 private:
  const FuzzTarget& target_;
  const Options& options_;
  std::vector<std::string> pool_{};
  std::set<std::string> seen_{};
  std::uint64_t runs_ = 0;
};

int list() {
  for (const FuzzTarget& target : strata::fuzz::fuzz_targets()) std::printf("%s\n", target.name);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app{"Gives changed inputs to a reader of Strata."};
  app.add_option("TARGET", options.target, "`list` lists them")->required();
  app.add_option("FILE", options.files, "run these and nothing else");
  app.add_option("--seconds", options.seconds)->capture_default_str();
  app.add_option("--seed", options.seed)->capture_default_str();
  app.add_option("--patience", options.patience, "seconds that one input may take")
      ->capture_default_str();
  app.add_option("--corpus", options.corpus, "folder of inputs to begin with");
  app.add_option("--keep", options.keep, "write inputs that end in a new way into this folder");
  CLI11_PARSE(app, argc, argv);
  if (options.target == "list") return list();
  const FuzzTarget* target = strata::fuzz::find_target(options.target);
  if (target == nullptr) {
    std::fprintf(stderr, "strata-fuzz: no target %s\n", options.target.c_str());
    return 2;
  }
  crash_file = "crash-" + options.target;
  for (const int signal : {SIGSEGV, SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGALRM})
    std::signal(signal, on_crash);
  if (__sanitizer_set_death_callback != nullptr) __sanitizer_set_death_callback(keep_running);
  Fuzzer fuzzer(*target, options);
  for (const std::string& file : options.files) {
    const auto bytes = strata::read_file(file);
    if (!bytes) {
      std::fprintf(stderr, "strata-fuzz: %s\n", bytes.error().message.c_str());
      return 2;
    }
    std::printf("%s: %s\n", file.c_str(), target->run(*bytes).c_str());
  }
  if (!options.files.empty()) return 0;
  fuzzer.start_with(read_all(options.corpus));
  fuzzer.loop();
  fuzzer.print();
  return 0;
}
