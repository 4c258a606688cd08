# Where a sanitizer is on: every process of a test, also a daemon that the test kills in the end, writes its reports into one
# folder, and the run fails if there is any. (What is undefined ends the process instead, with the report on standard error.)
set(strata_test_environment OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive)
set(strata_test_fixtures "")
if(STRATA_SANITIZE)
  set(strata_sanitizer_reports ${CMAKE_BINARY_DIR}/sanitizer)
  list(APPEND strata_test_environment
    "TSAN_OPTIONS=log_path=${strata_sanitizer_reports}/race:suppressions=${CMAKE_SOURCE_DIR}/tests/tsan.supp"
    "ASAN_OPTIONS=log_path=${strata_sanitizer_reports}/address" "UBSAN_OPTIONS=print_stacktrace=1")
  set(strata_test_fixtures FIXTURES_REQUIRED sanitizer)
endif()

# strata_sanitizer_tests(): before and after all others. Called once, in tests/.
function(strata_sanitizer_tests)
  add_test(NAME Sanitizer.ReportsOfTheLastRunAreGone COMMAND sh -c "rm -rf '${strata_sanitizer_reports}' && mkdir '${strata_sanitizer_reports}'")
  add_test(NAME Sanitizer.NoProcessReportedAnything
    COMMAND sh -c "cat '${strata_sanitizer_reports}'/* 2>/dev/null; test -z \"$(ls '${strata_sanitizer_reports}')\"")
  set_tests_properties(Sanitizer.ReportsOfTheLastRunAreGone PROPERTIES LABELS unit FIXTURES_SETUP sanitizer)
  set_tests_properties(Sanitizer.NoProcessReportedAnything PROPERTIES LABELS unit FIXTURES_CLEANUP sanitizer)
endfunction()

# strata_test(NAME SOURCES ... USES rooms... LABELS ... [TIMEOUT s] [EXTERNAL targets])
# One gtest executable; every TEST becomes a ctest entry under the labels given.
function(strata_test name)
  cmake_parse_arguments(T "" "TIMEOUT" "SOURCES;USES;LABELS;EXTERNAL" ${ARGN})
  if(NOT T_LABELS)
    message(FATAL_ERROR "test '${name}' has no LABELS")
  endif()
  if(NOT T_TIMEOUT)
    set(T_TIMEOUT 120)
  endif()
  add_executable(${name} ${T_SOURCES})
  list(TRANSFORM T_USES PREPEND strata_)
  target_link_libraries(${name} PRIVATE strata_flags ${T_USES} ${T_EXTERNAL} GTest::gmock GTest::gtest_main)
  target_compile_definitions(${name} PRIVATE STRATA_SOURCE_DIR="${CMAKE_SOURCE_DIR}" STRATA_BINARY_DIR="${CMAKE_BINARY_DIR}")
  gtest_discover_tests(${name} DISCOVERY_TIMEOUT 120 DISCOVERY_MODE PRE_TEST TEST_LIST ${name}_tests
    PROPERTIES TIMEOUT ${T_TIMEOUT})
  # Lists do not survive PROPERTIES: only their first item would arrive in ctest.
  file(WRITE ${CMAKE_CURRENT_BINARY_DIR}/${name}_properties.cmake
    "foreach(test IN LISTS ${name}_tests)\n"
    "  set_tests_properties(\"\${test}\" PROPERTIES LABELS \"${T_LABELS}\" "
    "ENVIRONMENT \"${strata_test_environment}\" ${strata_test_fixtures})\n"
    "endforeach()\n")
  set_property(DIRECTORY APPEND PROPERTY TEST_INCLUDE_FILES ${CMAKE_CURRENT_BINARY_DIR}/${name}_properties.cmake)
endfunction()
