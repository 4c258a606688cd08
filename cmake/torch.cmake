# LibTorch, taken from the PyPI wheel as a C++ library. find_package(Torch) wants nvcc and links CUDA libraries that a CPU
# machine lacks, so the target is made here: libtorch_cpu + libc10, and the two small CUDA libraries that libtorch_cpu
# itself needs (libcudart, libcupti), named on the link line because an executable's RUNPATH does not serve its libraries.

set(torch_root ${STRATA_DEPS}/libtorch)
set(torch_lib ${torch_root}/torch/lib)
set(torch_cuda_lib ${torch_root}/nvidia/cu13/lib)
foreach(file ${torch_lib}/libtorch_cpu.so ${torch_lib}/libc10.so ${torch_cuda_lib}/libcudart.so.13 ${torch_cuda_lib}/libcupti.so.13)
  if(NOT EXISTS ${file})
    message(FATAL_ERROR "LibTorch is not complete: ${file} is missing. Run scripts/bootstrap, or configure with "
                        "-DSTRATA_WITH_TORCH=OFF, or name another folder with -DSTRATA_DEPS=...")
  endif()
endforeach()

add_library(strata_libtorch INTERFACE)
# After the system's own folders (system headers still, so no warnings): the wheel also carries headers of fmt, another
# version than the library that we link.
target_compile_options(strata_libtorch INTERFACE
  "SHELL:-idirafter ${torch_root}/torch/include" "SHELL:-idirafter ${torch_root}/torch/include/torch/csrc/api/include")
target_link_libraries(strata_libtorch INTERFACE
  "-Wl,--push-state,--no-as-needed,${torch_lib}/libtorch_cpu.so,${torch_lib}/libc10.so,${torch_cuda_lib}/libcudart.so.13,${torch_cuda_lib}/libcupti.so.13,--pop-state"
  "-Wl,-rpath,${torch_lib}" "-Wl,-rpath,${torch_cuda_lib}")

# Tensors are large and of all sizes, and glibc's heap keeps the holes between them: a training step has its peak a sixth
# to a quarter lower with tcmalloc, at the same speed (docs/models.md, "Speed"). Not beside a sanitizer's own allocator.
option(STRATA_TCMALLOC "programs that use torch allocate with tcmalloc" ON)
if(STRATA_TCMALLOC AND NOT STRATA_SANITIZE)
  find_library(STRATA_TCMALLOC_LIBRARY NAMES tcmalloc_minimal libtcmalloc_minimal.so.4)
  if(NOT STRATA_TCMALLOC_LIBRARY)
    message(FATAL_ERROR "tcmalloc is missing: run scripts/bootstrap (Debian: libtcmalloc-minimal4, elsewhere gperftools), "
                        "or configure with -DSTRATA_TCMALLOC=OFF, which costs memory in training, up to a third more than `check` estimates")
  endif()
  target_link_libraries(strata_libtorch INTERFACE
    "-Wl,--push-state,--no-as-needed,${STRATA_TCMALLOC_LIBRARY},--pop-state")
endif()

# NCCL alone (no torch CUDA): header and library of the wheel. Compiles and links everywhere, runs where a GPU is.
set(nccl_root ${torch_root}/nvidia/nccl)
if(EXISTS ${nccl_root}/include/nccl.h AND EXISTS ${nccl_root}/lib/libnccl.so.2
   AND EXISTS ${torch_root}/nvidia/cu13/include/crt/host_defines.h)
  add_library(strata_nccl INTERFACE)
  target_include_directories(strata_nccl SYSTEM INTERFACE ${nccl_root}/include ${torch_root}/nvidia/cu13/include)
  target_link_libraries(strata_nccl INTERFACE ${nccl_root}/lib/libnccl.so.2 ${torch_cuda_lib}/libcudart.so.13
    "-Wl,-rpath,${nccl_root}/lib" "-Wl,-rpath,${torch_cuda_lib}")
endif()
