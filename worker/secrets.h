// Values that a program needs and nobody may read in a spec, log or event. A sweep names them; the
// worker has them from its own environment, STRATA_SECRET_<NAME>, or from a file of NAME=value
// lines that only its owner may read (mode 0600). The program finds each in its environment as
// <NAME>.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "base/result.h"

namespace strata::worker {

// Shorter values are not searched for: they would blot out plain text.
inline constexpr std::size_t kSecretShownMin = 4;

class Secrets {
 public:
  // Takes STRATA_SECRET_* out of the environment, so that no child inherits them; call before any
  // thread runs. A missing file is none; one that others may read is refused.
  static Result<Secrets> gather(const std::filesystem::path& file);

  // By name; an error names the missing one and how to give it.
  [[nodiscard]] Result<std::map<std::string, std::string>> resolve(
      const std::vector<std::string>& names) const;
  // The text with every value replaced by its name in angle brackets: a program may have printed
  // one.
  [[nodiscard]] std::string redact(std::string text) const;

 private:
  std::map<std::string, std::string> values_;
};

}  // namespace strata::worker
