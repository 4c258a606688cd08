// What the ranks of a gang do together. One rank, MPI, or NCCL; the training loop knows only this
// interface. Not safe to call from two threads. An error means that the gang is broken: nobody
// tries to go on. A rank that leaves with an error of its own calls abandon(): the others may be
// waiting for it in a collective.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "base/result.h"

namespace strata::trainer {

class Communicator {
 public:
  virtual ~Communicator() = default;
  [[nodiscard]] virtual int rank() const = 0;
  [[nodiscard]] virtual int size() const = 0;
  // In place; every rank gets the same sum, bit for bit.
  [[nodiscard]] virtual Status all_reduce_sum(std::span<float> values) = 0;
  [[nodiscard]] virtual Status all_reduce_sum(std::span<double> values) = 0;
  // The same while the caller goes on: begun in the same order on every rank, and `values` belong
  // to the communicator until finish_sums(). advance(), called now and then, lets them go on; no
  // other collective is called meanwhile.
  [[nodiscard]] virtual Status begin_sum(std::span<float> values) { return all_reduce_sum(values); }
  [[nodiscard]] virtual Status advance() { return {}; }
  [[nodiscard]] virtual Status finish_sums() { return {}; }
  [[nodiscard]] virtual Status broadcast(std::span<char> bytes, int root) = 0;
  [[nodiscard]] virtual Status barrier() = 0;
  // Ends every rank at once, wherever it is; the launcher ends with `exit_code`. Returns only where
  // there is one rank, whose caller ends by itself.
  virtual void abandon(int exit_code) = 0;
};

// One rank: everything is done already.
[[nodiscard]] std::unique_ptr<Communicator> make_single_communicator();

// MPI_COMM_WORLD; MPI is initialised now and finalised when the object goes, which waits for the
// other ranks: let it go only where all of them do. At most one per process.
[[nodiscard]] Result<std::unique_ptr<Communicator>> make_mpi_communicator();
// Whether a launcher of MPI started this process.
[[nodiscard]] bool started_by_mpirun();

// NCCL over the device `device` of each rank. `meeting` passes the identity of the gang round, and
// outlives it.
// Values are staged through device memory. An error without a device, or with a library older than
// the header.
[[nodiscard]] Result<std::unique_ptr<Communicator>> make_nccl_communicator(Communicator& meeting,
                                                                           int device);

}  // namespace strata::trainer
