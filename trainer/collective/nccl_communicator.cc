// The only file that includes nccl.h. Built everywhere, usable where a GPU is.
#include <cuda_runtime_api.h>
#include <nccl.h>

#include <algorithm>

#include "trainer/collective/communicator.h"

namespace strata::trainer {
namespace {

// Values pass through the device in pieces of this size.
constexpr std::size_t kStagingBytes = std::size_t{32} << 20;

Status check(cudaError_t code, std::string_view what) {
  if (code == cudaSuccess) return {};
  return fail(ErrorCode::kUnavailable, "CUDA {}: {}", what, cudaGetErrorString(code));
}

Status check(ncclResult_t code, std::string_view what) {
  if (code == ncclSuccess) return {};
  return fail(ErrorCode::kUnavailable, "NCCL {}: {}", what, ncclGetErrorString(code));
}

class NcclCommunicator final : public Communicator {
 public:
  explicit NcclCommunicator(Communicator& meeting)
      : meeting_(meeting), rank_(meeting.rank()), size_(meeting.size()) {}
  ~NcclCommunicator() override {
    if (handle_ != nullptr) ncclCommDestroy(handle_);
    if (staging_ != nullptr) cudaFree(staging_);
    if (stream_ != nullptr) cudaStreamDestroy(stream_);
  }
  NcclCommunicator(const NcclCommunicator&) = delete;
  NcclCommunicator& operator=(const NcclCommunicator&) = delete;

  Status start(const ncclUniqueId& id, int device) {
    STRATA_CHECK_OK(check(cudaSetDevice(device), "device"));
    STRATA_CHECK_OK(check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "stream"));
    STRATA_CHECK_OK(check(cudaMalloc(&staging_, kStagingBytes), "memory"));
    return check(ncclCommInitRank(&handle_, size_, id, rank_), "start");
  }

  [[nodiscard]] int rank() const override { return rank_; }
  [[nodiscard]] int size() const override { return size_; }
  Status all_reduce_sum(std::span<float> values) override {
    return through_device(values, [&](std::size_t n) {
      return ncclAllReduce(staging_, staging_, n, ncclFloat32, ncclSum, handle_, stream_);
    });
  }
  Status all_reduce_sum(std::span<double> values) override {
    return through_device(values, [&](std::size_t n) {
      return ncclAllReduce(staging_, staging_, n, ncclFloat64, ncclSum, handle_, stream_);
    });
  }
  Status broadcast(std::span<char> bytes, int root) override {
    return through_device(bytes, [&](std::size_t n) {
      return ncclBroadcast(staging_, staging_, n, ncclChar, root, handle_, stream_);
    });
  }
  Status barrier() override {
    float one = 1;
    return all_reduce_sum(std::span(&one, 1));
  }
  void abandon(int exit_code) override { meeting_.abandon(exit_code); }

 private:
  template <class T, class Collective>
  Status through_device(std::span<T> values, Collective collective) {
    constexpr std::size_t kPiece = kStagingBytes / sizeof(T);
    for (std::size_t at = 0; at < values.size(); at += kPiece) {
      const std::span<T> piece = values.subspan(at, std::min(kPiece, values.size() - at));
      STRATA_CHECK_OK(check(cudaMemcpyAsync(staging_, piece.data(), piece.size_bytes(),
                                            cudaMemcpyHostToDevice, stream_),
                            "copy"));
      STRATA_CHECK_OK(check(collective(piece.size()), "collective"));
      STRATA_CHECK_OK(check(cudaMemcpyAsync(piece.data(), staging_, piece.size_bytes(),
                                            cudaMemcpyDeviceToHost, stream_),
                            "copy"));
      STRATA_CHECK_OK(check(cudaStreamSynchronize(stream_), "wait"));
    }
    return {};
  }
  Communicator& meeting_;
  int rank_;
  int size_;
  ncclComm_t handle_ = nullptr;
  cudaStream_t stream_ = nullptr;
  void* staging_ = nullptr;
};

}  // namespace

Result<std::unique_ptr<Communicator>> make_nccl_communicator(Communicator& meeting, int device) {
  int version = 0;
  STRATA_CHECK_OK(check(ncclGetVersion(&version), "version"));
  if (version < NCCL_VERSION_CODE) {
    return fail(ErrorCode::kUnsupported,
                "NCCL {} was loaded but this program was built for {}: put the folder of the newer "
                "library first",
                version, NCCL_VERSION_CODE);
  }
  int devices = 0;
  const cudaError_t counted = cudaGetDeviceCount(&devices);
  if (counted != cudaSuccess || devices == 0) {
    return fail(ErrorCode::kUnsupported,
                "NCCL needs a GPU and this machine shows none ({}): use mpi instead",
                counted == cudaSuccess ? "no device" : cudaGetErrorString(counted));
  }
  if (device < 0 || device >= devices) {
    return fail(ErrorCode::kInvalid, "GPU {} was asked for, the machine has {}", device, devices);
  }
  ncclUniqueId id{};
  if (meeting.rank() == 0) STRATA_CHECK_OK(check(ncclGetUniqueId(&id), "identity"));
  STRATA_CHECK_OK(meeting.broadcast(std::span(id.internal, sizeof(id.internal)), 0));
  auto communicator = std::make_unique<NcclCommunicator>(meeting);
  STRATA_CHECK_OK(communicator->start(id, device));
  return communicator;
}

}  // namespace strata::trainer
