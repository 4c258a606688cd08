#include "tests/fuzz/targets.h"

namespace strata::fuzz {

const std::vector<FuzzTarget>& fuzz_targets() {
  static const std::vector<std::string> kYaml{
      "name: ",          "axes:\n",  "zip:\n", "cases:\n",     "stages:\n",   "blocks:\n",
      "seeds: [1, 2]\n", "when: ",   "set:\n", "constraints:", "baseline:",   "pipeline: p",
      "base:\n",         "&a ",      "*a",     "!model x",     "<<: *a",      "\n  - ",
      "{a: 1}",          "[[1]]",    "1e308",  "0x1F",         "'",           "\"\\x00\"",
      "---\n",           "? ",       "|\n  ",  ">-\n ",        "ablation:\n", "program: ",
      "inputs:\n",       "reads: [", "# ",     "\t",           "\xEF\xBB\xBF"};
  static const std::vector<std::string> kExpression{
      " and ", " or ",  "not ", " in (", " is not null", "<=",         "!=",      "1e-4", "-",
      "(",     ")",     "\"",   "'",     "a.b",          " order by ", " limit ", "null", "true",
      "NaN",   "1e999", "/0",   " desc"};
  static const std::vector<std::string> kBytes{std::string("\0\0\0\0", 4),
                                               "\xFF\xFF\xFF\xFF",
                                               "\x7F",
                                               std::string("\0", 1),
                                               "STRA",
                                               std::string("\x01\x00\x01\x00", 4),
                                               "\xC0\x80",
                                               "../",
                                               "~~next~~",
                                               "{}",
                                               "status",
                                               "cancel"};
  static const std::vector<std::string> kJson{"{",       "}",       "[",     "]",      "\"",
                                              "\\u0000", "\\ud800", "1e400", "-0",     ":",
                                              ",",       "null",    "true",  "\"a\":", "\xFF"};
  static const std::vector<std::string> kPolicy{"policy:\n",
                                                "  - {name: a, match: '",
                                                "', class: user}\n",
                                                "class: node",
                                                "action: stop",
                                                "samples: [",
                                                "(?i)",
                                                "(a+)+",
                                                "{1000}",
                                                "\\b",
                                                "\\1",
                                                "(?P<n>",
                                                "[^\\x00-\\x{10FFFF}]",
                                                "\n%% log\n",
                                                "\r",
                                                "\xFF",
                                                "\xE2\x82",
                                                "|",
                                                "^$",
                                                "\\pL"};
  static const std::vector<std::string> kTensors{"\"dtype\":\"F32\"",
                                                 "\"dtype\":\"BOOL\"",
                                                 "\"shape\":[]",
                                                 "\"shape\":[1]",
                                                 "\"data_offsets\":[0,4]",
                                                 "\"data_offsets\":[4,8]",
                                                 "\"__metadata__\":{",
                                                 "9223372036854775807",
                                                 "18446744073709551615",
                                                 "-1",
                                                 "1e3",
                                                 "0.5",
                                                 "{}",
                                                 "},\"b\":{",
                                                 std::string("\0\0\0\0", 4)};
  static const std::vector<std::string> kTexts{
      "twenty one", "$5.07",        "and a half",       "won't", "Mr.",  "1,000,000",
      "3rd",        "double oh",    "\xC2\xA2",         "[x]",   "(y)",  "per cent",
      "\xCC\x81",   "\xEF\xBF\xBD", "\xF0\x9F\x98\x80", "\n",    "\xFF", "  "};
  static const std::vector<std::string> kSounds{"RIFF",
                                                "WAVE",
                                                "fmt ",
                                                "data",
                                                "LIST",
                                                "fLaC",
                                                "OggS",
                                                "FORM",
                                                std::string("\0\0\0\0", 4),
                                                "\xFF\xFF\xFF\xFF",
                                                std::string("\x03\0", 2),
                                                std::string("\x80\x3E\0\0", 4)};
  static const std::vector<FuzzTarget> kTargets{
      {.name = "wire",
       .what = "frames of messages, and what the core makes of them",
       .run = run_wire,
       .dictionary = kBytes},
      {.name = "codec",
       .what = "frames of messages and events, without the core",
       .run = run_codec,
       .dictionary = kBytes},
      {.name = "event",
       .what = "frames of events, and whether they may follow",
       .run = run_event,
       .dictionary = kBytes},
      {.name = "store",
       .what = "an event database with changed bytes",
       .run = run_store,
       .dictionary = kBytes},
      {.name = "sweep",
       .what = "sweep files, and what they expand to",
       .run = run_sweep,
       .dictionary = kYaml},
      {.name = "expression",
       .what = "conditions, arithmetic and queries",
       .run = run_expression,
       .dictionary = kExpression},
      {.name = "yaml", .what = "the YAML reader", .run = run_yaml, .dictionary = kYaml},
      {.name = "json", .what = "the JSON reader", .run = run_json, .dictionary = kJson},
      {.name = "policy",
       .what = "log policies, and what they make of a log",
       .run = run_policy,
       .dictionary = kPolicy},
      {.name = "safetensors",
       .what = "files of tensors, and whether they come back",
       .run = run_safetensors,
       .dictionary = kTensors},
      {.name = "words",
       .what = "pairs of texts, normalized by every protocol and counted",
       .run = run_words,
       .dictionary = kTexts},
      {.name = "utterance",
       .what = "lines of scored utterances, and whether they come back",
       .run = run_utterance,
       .dictionary = kJson},
      {.name = "tokens",
       .what = "vocabularies, and what ids of theirs say",
       .run = run_tokens,
       .dictionary = kJson},
      {.name = "sound", .what = "sound files", .run = run_sound, .dictionary = kSounds}};
  return kTargets;
}

const FuzzTarget* find_target(std::string_view name) {
  for (const FuzzTarget& target : fuzz_targets()) {
    if (name == target.name) return &target;
  }
  return nullptr;
}

}  // namespace strata::fuzz
