// The subcommands that need no judge: counting word errors and normalizing text. They give the text
// to print.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "evaluator/core/normalizer.h"

namespace strata::evaluator {

// Of one side of a pair. Over it only words are counted and CER is left out (an empty cell, null):
// aligning so many characters can take minutes, and nobody asked for it.
inline constexpr std::size_t kCerBytesMax = 1U << 20U;

enum class TableFormat { kText, kTsv, kJson };

// Two files with one utterance a line (LF or CRLF, byte order mark skipped). A different number of
// lines is an error.
[[nodiscard]] Result<std::string> wer_of_files(const std::filesystem::path& reference,
                                               const std::filesystem::path& hypothesis,
                                               const ProtocolInfo& protocol, TableFormat format);

// A table with tab-separated columns, of which `reference` and `hypothesis` are named in the first
// line. One row out for each row in: substitutions, deletions, insertions, hits, wer, mer, wil,
// wip, cer. kText is kTsv here.
[[nodiscard]] Result<std::string> wer_of_table(const std::filesystem::path& table,
                                               const ProtocolInfo& protocol, TableFormat format);

// Every line normalized; as many lines out as in.
[[nodiscard]] Result<std::string> normalize_lines(std::string_view text,
                                                  const ProtocolInfo& protocol);

// What docs/stages.md says for an error: 2 where a retry gives the same answer, else 1.
[[nodiscard]] int exit_code_of(const Error& error);

}  // namespace strata::evaluator
