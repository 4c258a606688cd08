list(APPEND trainer_sources synthesize.cc sampling/grid.cc sampling/sampler.cc sampling/speech_plan.cc)
