list(APPEND trainer_sources sampling/grid.cc)
if(EXISTS ${CMAKE_CURRENT_SOURCE_DIR}/models/backbone.h)
  list(APPEND trainer_sources sampling/sampler.cc)
endif()
