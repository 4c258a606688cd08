// What is wrong with the lines of a list, gathered, so that a person mends all of it at once and
// does not start the program again for each line.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "base/result.h"

namespace strata::evaluator {

inline constexpr std::size_t kLineProblemsShown = 20;

class LineProblems {
 public:
  // `name`: what messages call the list, a path where it was given as one.
  explicit LineProblems(std::string name) : name_(std::move(name)) {}

  // "cross.lst:17", what the message of a problem begins with.
  [[nodiscard]] std::string place(std::size_t line) const;
  // The message begins with place(line).
  void add(std::size_t line, Error error) { all_.push_back({line, std::move(error)}); }
  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] bool none() const { return all_.empty(); }
  [[nodiscard]] std::size_t count() const { return all_.size(); }
  // One problem: its message. Several: how many, then the first kLineProblemsShown in the order of
  // the lines, a line each. kInvalid where they are of several kinds.
  [[nodiscard]] Status status() const;

 private:
  struct Problem {
    std::size_t line = 0;
    Error error{};
  };
  std::string name_;
  std::vector<Problem> all_;
};

}  // namespace strata::evaluator
