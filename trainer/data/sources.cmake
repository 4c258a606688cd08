list(APPEND trainer_sources
  audio_output.cc copy.cc progress.cc vocoder.cc
  data/asterisk.cc data/dataset.cc data/debian_package.cc data/extract.cc data/features.cc data/flite_digits.cc
  data/item_store.cc data/libri.cc data/list_file.cc data/manifest.cc data/prepare.cc data/prepare_options.cc data/selection.cc data/tokenizer.cc data/vocabulary.cc)
list(APPEND trainer_sources data/feature_statistics.cc data/memory_budget.cc data/batch_feed.cc data/teacher.cc)
