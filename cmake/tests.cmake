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
    "ENVIRONMENT \"OMP_NUM_THREADS=1;OMP_WAIT_POLICY=passive\")\n"
    "endforeach()\n")
  set_property(DIRECTORY APPEND PROPERTY TEST_INCLUDE_FILES ${CMAKE_CURRENT_BINARY_DIR}/${name}_properties.cmake)
endfunction()
