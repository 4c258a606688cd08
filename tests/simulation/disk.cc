#include "tests/simulation/disk.h"

#include "coordinator/core/breaks.h"
#include "coordinator/core/log_chain.h"

namespace strata::simulation {

using coordinator::chained;

void Disk::append(const std::vector<std::string>& frames) {
  std::uint32_t chain = cells_.empty() ? 0 : cells_.back().chain;
  for (const std::string& frame : frames) {
    chain = chained(chain, cells_.size() + 1, frame);
    cells_.push_back({.frame = frame, .chain = chain});
    written_.push_back(frame);
  }
  if (!frames.empty()) cells_.back().ends = true;
}

void Disk::commit(const std::vector<std::string>& frames) {
  append(frames);
  synced_ = cells_.size();
}

bool Disk::tear(const std::vector<std::string>& frames, Random& random) {
  append(frames);
  const std::uint64_t kind = random.bounded(4);
  if (kind == 0) {  // nothing had reached the platter
    cells_.resize(synced_);
    return false;
  }
  if (kind == 1) return true;  // all of it had, and nobody was told
  const std::size_t hit = synced_ + random.bounded(cells_.size() - synced_);
  if (kind == 2) {  // the end is missing, the last one is cut
    cells_.resize(hit + 1);
    cells_[hit].ends = false;
    cells_[hit].frame.resize(random.bounded(cells_[hit].frame.size()));
  } else {  // written in another order: one in the middle is missing
    cells_[hit].frame.clear();
  }
  return true;
}

bool Disk::rot(Random& random) {
  std::size_t last = cells_.size();  // of the transaction before the last one
  if (last > 0) --last;
  while (last > 0 && !cells_[last - 1].ends) --last;
  if (last == 0) return false;
  std::string& frame = cells_[random.bounded(last)].frame;
  if (frame.empty()) return false;
  char& byte = frame[random.bounded(frame.size())];
  byte = static_cast<char>(static_cast<unsigned char>(byte) ^ 0x10U);
  return true;
}

Disk::Recovered Disk::recover() {
  Recovered found;
  std::vector<std::string> open;
  std::uint32_t chain = 0;
  bool broken = false;
  int ends = 0;  // of transactions, from the broken one on
  for (std::size_t i = 0; i < cells_.size(); ++i) {
    const Cell& cell = cells_[i];
    if (STRATA_BROKEN(kAcceptTornTail)) {
      if (!cell.frame.empty()) found.frames.push_back(cell.frame);
      continue;
    }
    chain = chained(chain, i + 1, cell.frame);
    broken = broken || chain != cell.chain;
    ends += broken && cell.ends ? 1 : 0;
    if (broken) continue;
    open.push_back(cell.frame);
    if (!cell.ends) continue;
    found.frames.insert(found.frames.end(), open.begin(), open.end());
    open.clear();
  }
  // The last transaction may be torn: nobody was told of it. One that others follow was whole.
  found.damaged = ends > 1;
  return found;
}

void Disk::replace(const std::vector<std::string>& frames) {
  cells_.clear();
  written_.clear();
  synced_ = 0;
  commit(frames);
}

std::optional<Violation> Disk::judge(const Recovered& recovered) const {
  for (std::size_t i = 0; i < recovered.frames.size(); ++i) {
    if (i < written_.size() && recovered.frames[i] == written_[i]) continue;
    return Violation{"I14", fmt::format("event {} of the recovered log is not the {}th that was "
                                        "written: the log is no prefix",
                                        i + 1, i + 1)};
  }
  if (!recovered.damaged && recovered.frames.size() < synced_)
    return Violation{"I15", fmt::format("{} of {} synced events are lost, and nothing says so",
                                        synced_ - recovered.frames.size(), synced_)};
  return {};
}

}  // namespace strata::simulation
