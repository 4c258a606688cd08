// The only file that includes mpi.h.
#define OMPI_SKIP_MPICXX 1
#include <mpi.h>

#include <algorithm>
#include <cstdlib>
#include <limits>
#include <vector>

#include "trainer/collective/communicator.h"

namespace strata::trainer {
namespace {

// MPI counts with an int; longer spans go in pieces.
constexpr std::size_t kPieceMax = std::size_t{1} << 28;
static_assert(kPieceMax <= static_cast<std::size_t>(std::numeric_limits<int>::max()));

Status check(int code, std::string_view what) {
  if (code == MPI_SUCCESS) return {};
  char text[MPI_MAX_ERROR_STRING];
  int length = 0;
  MPI_Error_string(code, text, &length);
  return fail(ErrorCode::kUnavailable, "MPI {}: {}", what,
              std::string_view(text, static_cast<std::size_t>(length)));
}

class MpiCommunicator final : public Communicator {
 public:
  MpiCommunicator(int rank, int size) : rank_(rank), size_(size) {}
  ~MpiCommunicator() override { MPI_Finalize(); }
  MpiCommunicator(const MpiCommunicator&) = delete;
  MpiCommunicator& operator=(const MpiCommunicator&) = delete;

  [[nodiscard]] int rank() const override { return rank_; }
  [[nodiscard]] int size() const override { return size_; }
  Status all_reduce_sum(std::span<float> values) override { return reduce(values, MPI_FLOAT); }
  Status all_reduce_sum(std::span<double> values) override { return reduce(values, MPI_DOUBLE); }
  Status begin_sum(std::span<float> values) override {
    for (std::size_t at = 0; at < values.size(); at += kPieceMax) {
      const auto piece = static_cast<int>(std::min(kPieceMax, values.size() - at));
      STRATA_CHECK_OK(check(MPI_Iallreduce(MPI_IN_PLACE, values.data() + at, piece, MPI_FLOAT,
                                           MPI_SUM, MPI_COMM_WORLD, &begun_.emplace_back()),
                            "all-reduce"));
    }
    return {};
  }
  Status advance() override {
    int all = 0;
    return begun_.empty() ? Status{}
                          : check(MPI_Testall(static_cast<int>(begun_.size()), begun_.data(), &all,
                                              MPI_STATUSES_IGNORE),
                                  "all-reduce");
  }
  Status finish_sums() override {
    const int code =
        MPI_Waitall(static_cast<int>(begun_.size()), begun_.data(), MPI_STATUSES_IGNORE);
    begun_.clear();
    return check(code, "all-reduce");
  }
  Status broadcast(std::span<char> bytes, int root) override {
    for (std::size_t at = 0; at < bytes.size(); at += kPieceMax) {
      const auto piece = static_cast<int>(std::min(kPieceMax, bytes.size() - at));
      STRATA_CHECK_OK(
          check(MPI_Bcast(bytes.data() + at, piece, MPI_CHAR, root, MPI_COMM_WORLD), "broadcast"));
    }
    return {};
  }
  void abandon(int exit_code) override { MPI_Abort(MPI_COMM_WORLD, exit_code); }
  Status barrier() override { return check(MPI_Barrier(MPI_COMM_WORLD), "barrier"); }

 private:
  template <class T>
  Status reduce(std::span<T> values, MPI_Datatype type) {
    for (std::size_t at = 0; at < values.size(); at += kPieceMax) {
      const auto piece = static_cast<int>(std::min(kPieceMax, values.size() - at));
      STRATA_CHECK_OK(check(
          MPI_Allreduce(MPI_IN_PLACE, values.data() + at, piece, type, MPI_SUM, MPI_COMM_WORLD),
          "all-reduce"));
    }
    return {};
  }
  int rank_;
  int size_;
  std::vector<MPI_Request> begun_{};
};

}  // namespace

bool started_by_mpirun() {
  for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "PMIX_RANK"}) {
    if (std::getenv(name) != nullptr) return true;
  }
  return false;
}

Result<std::unique_ptr<Communicator>> make_mpi_communicator() {
  int initialised = 0;
  STRATA_CHECK_OK(check(MPI_Initialized(&initialised), "start"));
  if (initialised != 0)
    return fail(ErrorCode::kConflict, "MPI was started already: one communicator per process");
  int provided = 0;
  STRATA_CHECK_OK(
      check(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &provided), "start"));
  // Errors come back as values; the caller ends the rank, and mpirun the gang.
  STRATA_CHECK_OK(check(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN), "set-up"));
  int rank = 0;
  int size = 0;
  STRATA_CHECK_OK(check(MPI_Comm_rank(MPI_COMM_WORLD, &rank), "rank"));
  STRATA_CHECK_OK(check(MPI_Comm_size(MPI_COMM_WORLD, &size), "size"));
  return std::make_unique<MpiCommunicator>(rank, size);
}

}  // namespace strata::trainer
