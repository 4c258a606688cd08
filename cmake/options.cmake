# Options, compiler flags and the outside libraries that more than one room uses.

option(STRATA_BUILD_TESTS "build the tests" ON)
option(STRATA_WITH_TORCH "build the rooms that need LibTorch (trainer, judges, base/torch)" ON)
option(STRATA_WERROR "treat warnings as errors" OFF)
option(STRATA_LIBFUZZER "build a libFuzzer program for each target of tests/fuzz (clang)" OFF)
set(STRATA_SANITIZE "" CACHE STRING "sanitizers, as for -fsanitize=")
set(STRATA_DEPS "$ENV{STRATA_DEPS}" CACHE PATH "where scripts/bootstrap put the wheels' contents")
if(NOT STRATA_DEPS)
  set(STRATA_DEPS "${CMAKE_SOURCE_DIR}/.deps" CACHE PATH "" FORCE)
endif()

if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "" FORCE)
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 12)
  message(FATAL_ERROR "Strata needs g++ 12 or newer; this is ${CMAKE_CXX_COMPILER_VERSION}")
endif()

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
# No -g in the default release build: torch files make debug information of hundreds of MB.
set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-O2 -g1")

find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM)
  # Paths below the source tree are cached relative to it, so that every checkout shares one cache.
  set(strata_launcher ${CMAKE_COMMAND} -E env CCACHE_BASEDIR=${CMAKE_SOURCE_DIR} CCACHE_NOHASHDIR=1
                      CCACHE_SLOPPINESS=pch_defines,time_macros ${CCACHE_PROGRAM})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${strata_launcher})
  set(CMAKE_C_COMPILER_LAUNCHER ${strata_launcher})
endif()
# Torch files need 1.5 GB each to compile: never more than two at once, whatever -j says.
set_property(GLOBAL PROPERTY JOB_POOLS torch_compile=2)

add_library(strata_flags INTERFACE)
target_compile_options(strata_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wnon-virtual-dtor -Woverloaded-virtual -Wold-style-cast)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  # g++ 12 reports moved variants with it (GCC bug 105562 and its kin), never once rightly here.
  target_compile_options(strata_flags INTERFACE -Wno-maybe-uninitialized)
endif()
if(STRATA_WERROR)
  target_compile_options(strata_flags INTERFACE -Werror)
endif()
if(STRATA_SANITIZE)
  target_compile_options(strata_flags INTERFACE -fsanitize=${STRATA_SANITIZE} -fno-omit-frame-pointer)
  target_link_options(strata_flags INTERFACE -fsanitize=${STRATA_SANITIZE})
  if(STRATA_SANITIZE MATCHES undefined)
    # Else it is said on standard error, and the test passes.
    target_compile_options(strata_flags INTERFACE -fno-sanitize-recover=undefined)
  endif()
endif()
target_include_directories(strata_flags INTERFACE ${CMAKE_SOURCE_DIR})

find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
find_package(fmt REQUIRED)
find_package(spdlog REQUIRED)
find_package(tl-expected REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(OpenSSL REQUIRED COMPONENTS Crypto)
