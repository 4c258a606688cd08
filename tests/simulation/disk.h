// The coordinator's log on a disk that dies in the middle of a write: what was synced survives, of
// what was being written any part may be there, torn, or with holes. Recovery believes whole
// transactions whose events fit the checksum chain (the real coordinator/core/log_chain.h).
#pragma once

#include <string>
#include <vector>

#include "base/random.h"
#include "tests/simulation/ledger.h"

namespace strata::simulation {

class Disk {
 public:
  // Written and synced.
  void commit(const std::vector<std::string>& frames);
  // The machine dies while `frames` are written. Whether anything of them is left.
  bool tear(const std::vector<std::string>& frames, Random& random);
  // One byte of a transaction that is not the last changes. False: there is none.
  bool rot(Random& random);

  // What a coordinator that starts now believes.
  struct Recovered {
    std::vector<std::string> frames{};
    bool damaged = false;  // nothing may be dispatched: safe mode
  };
  Recovered recover();
  // The log goes on as this from now on (after recovery or from a mirror).
  void replace(const std::vector<std::string>& frames);

  // From outside: does what was recovered belong to what was written, and is it all that was
  // synced?
  [[nodiscard]] std::optional<Violation> judge(const Recovered& recovered) const;

 private:
  struct Cell {
    std::string frame{};
    std::uint32_t chain = 0;
    bool ends = false;  // a transaction
  };
  void append(const std::vector<std::string>& frames);

  std::vector<Cell> cells_;
  std::size_t synced_ = 0;
  std::vector<std::string> written_;  // every frame in order: the memory of the observer
};

}  // namespace strata::simulation
