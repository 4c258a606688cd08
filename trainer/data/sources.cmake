list(APPEND trainer_sources
  progress.cc data/asterisk.cc data/dataset.cc data/features.cc data/manifest.cc data/prepare.cc data/selection.cc data/vocabulary.cc)
