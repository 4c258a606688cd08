// What counts in keys beside what stages read, and what of that does not.
#include <gtest/gtest.h>

#include "tests/unit/schema/sweep_text.h"

namespace strata {
namespace {

const std::string kLogged = R"(
sweep: s
base: {lr: 1, log: {level: info, every: 10}, corpus: {file: /d/a, kind: list}}
stages:
  train: {program: t, command: [python3, "{folder}/t.py", --x], reads: [lr, log, corpus], outputs: [w], seeded: true}
)";

Expansion expand_in(const std::string& text, const Surroundings& surroundings) {
  const auto definition = read({{"s.yaml", text}});
  EXPECT_TRUE(definition) << definition.error().message;
  auto expansion = expand(*definition, surroundings);
  EXPECT_TRUE(expansion) << expansion.error().message;
  return expansion ? *expansion : Expansion{};
}

TEST(Exclude, AParameterIsSeenByTheProgramAndCountsInNoKey) {
  const std::string exclude = "identity: {exclude: [log]}\n";
  const Expansion quiet = expand_text(kLogged + exclude);
  std::string text = kLogged + exclude;
  text.replace(text.find("info"), 4, "debug");
  const Expansion loud = expand_text(text);
  EXPECT_EQ(keys_of(quiet), keys_of(loud));
  EXPECT_NE(keys_of(quiet), keys_of(expand_text(kLogged)));
  EXPECT_EQ(*loud.tasks[0].parameters.find("log.level")->if_string(), "debug");
  EXPECT_EQ(loud.tasks[0].neutral, Strings{"log"});
  EXPECT_EQ(loud.tasks[0].key, compute_key(loud.tasks[0])) << "as the coordinator checks it";
}

TEST(Exclude, ANameThatIsNotThereAnyMoreIsAsIfTheStageHadNeverReadIt) {
  std::string without = kLogged;
  without.replace(without.find("log: {level: info, every: 10}, "), 31, "");
  without.replace(without.find("[lr, log, corpus]"), 17, "[lr, corpus]");
  EXPECT_EQ(keys_of(expand_text(kLogged + "identity: {exclude: [log]}\n")),
            keys_of(expand_text(without)));
}

TEST(Exclude, CellsThatDifferInNothingElseAreOne) {
  const Expansion e = expand_text(
      kLogged + "identity: {exclude: [log.level]}\naxes: {log.level: [info, debug], lr: [1, 2]}\n");
  EXPECT_EQ(e.cells, 2U);
  EXPECT_EQ(e.merged, 2U);
  EXPECT_EQ(cells_of(e), (Strings{"level=info lr=1", "level=info lr=2"})) << "the first one stays";
}

TEST(Exclude, MistakesHaveTheirPlace) {
  EXPECT_EQ(error_of({{"s.yaml", kLogged + "identity: {exclude: [log.levle]}\n"}}),
            "s.yaml:6:22: there is no parameter log.levle, did you mean log.level?");
  EXPECT_EQ(error_of({{"s.yaml", kLogged + "identity: {exclude: [extra]}\naxes: {extra: [1]}\n"}}),
            "s.yaml:6:22: no stage reads extra: it is in no key anyway");
  EXPECT_EQ(error_of({{"s.yaml", kLogged + "identity: {code: yes}\n"}}),
            "s.yaml:6:18: code must be record or key, not \"yes\"");
  EXPECT_EQ(error_of({{"s.yaml", kLogged + "identity: {data: {corpus.flie: key}}\n"}}),
            "s.yaml:6:19: there is no parameter corpus.flie, did you mean corpus.file?");
  EXPECT_EQ(error_of({{"s.yaml", kLogged + "identity: {date: {}}\n"}}),
            "s.yaml:6:12: unknown key date, did you mean data? expected one of exclude, code, "
            "data");
}

TEST(Data, ItsVersionIsRecordedOrPartOfTheKey) {
  const Surroundings first{.data = {{"/d/a", "sha256:11"}}};
  const Surroundings second{.data = {{"/d/a", "sha256:22"}}};
  const std::string record = kLogged + "identity: {data: {corpus.file: record}}\n";
  const std::string key = kLogged + "identity: {data: {corpus.file: key}}\n";
  EXPECT_EQ(keys_of(expand_in(record, first)), keys_of(expand_text(kLogged)));
  EXPECT_EQ(expand_in(record, second).tasks[0].versions,
            (std::map<std::string, std::string>{{"data.corpus.file", "sha256:22"}}));
  EXPECT_NE(keys_of(expand_in(key, first)), keys_of(expand_in(key, second)));
  EXPECT_EQ(expand_in(key, first).tasks[0].versions_in_key, Strings{"data.corpus.file"});
}

TEST(Data, WithItsPathExcludedItMayMove) {
  const std::string text =
      kLogged + "identity: {exclude: [corpus.file], data: {corpus.file: key}}\n";
  std::string moved = text;
  moved.replace(moved.find("/d/a"), 4, "/e/b");
  EXPECT_EQ(keys_of(expand_in(text, {.data = {{"/d/a", "sha256:11"}}})),
            keys_of(expand_in(moved, {.data = {{"/e/b", "sha256:11"}}})));
}

TEST(Data, OfWhatIsNotThereNothingIsExpanded) {
  EXPECT_EQ(error_of({{"s.yaml", kLogged + "identity: {data: {corpus.file: record}}\n"}}),
            "sweep s: identity.data: in cell \"base\" corpus.file is \"/d/a\": expected the "
            "absolute path of a file or folder that is there");
}

TEST(Data, AllPathsThatACellMayNameAreKnownBefore) {
  const auto definition = read({{"s.yaml", kLogged + R"(
axes: {corpus: [{file: /d/b, kind: list}, {kind: none}]}
cases: [{set: {corpus.file: /d/c}}]
)"}});
  ASSERT_TRUE(definition) << definition.error().message;
  EXPECT_EQ(values_of(*definition, "corpus.file"), (Strings{"/d/a", "/d/b", "/d/c"}));
}

// ---- code ----

TEST(Code, TheCommandIsKeptAsWrittenBesideTheOneThatIsFilledIn) {
  const auto definition = read({{"s.yaml", kLogged}});
  ASSERT_TRUE(definition) << definition.error().message;
  EXPECT_EQ(definition->stages[0].command, (Strings{"python3", "{folder}/t.py", "--x"}));
  EXPECT_EQ(definition->stages[0].program.argv, (Strings{"python3", "./t.py", "--x"}));
  EXPECT_EQ(definition->stages[0].folder, ".");
}

TEST(Code, AListIsOfTheCommandsOfItsFileUnlessAStageHasItsOwn) {
  const auto definition = read({{"s.yaml", R"(
sweep: s
code: [lib, "*.py"]
base: {a: 1}
stages:
  one: {program: t, command: [python3, "{folder}/t.py"], reads: [a], outputs: [w]}
  two: {program: t, command: [python3, "{folder}/u.py"], reads: [a], code: [u.py]}
  three: {program: sh, reads: [a]}
)"}});
  ASSERT_TRUE(definition) << definition.error().message;
  EXPECT_EQ(definition->stages[0].code, (Strings{"lib", "*.py"}));
  EXPECT_EQ(definition->stages[1].code, Strings{"u.py"});
  EXPECT_TRUE(definition->stages[2].code.empty());
}

TEST(Code, MistakesHaveTheirPlace) {
  EXPECT_EQ(error_of({{"s.yaml", kLogged + "code: [/usr/lib]\n"}}),
            "s.yaml:6:8: code: \"/usr/lib\" is not relative to this file");
  EXPECT_EQ(error_of({{"s.yaml", "sweep: s\ncode: [a]\nstages: {t: {program: p}}\n"}}),
            "s.yaml:2:7: no command of this file uses {folder}: it has no code");
  EXPECT_EQ(error_of({{"s.yaml", "sweep: s\nstages: {t: {program: p, code: [a]}}\n"}}),
            "s.yaml:2:32: stage t has code, but no word of its command is in {folder}");
  EXPECT_EQ(
      error_of({{"s.yaml", "sweep: s\nstages: {t: {program: p, command: [\"{code}/a\"]}}\n"}}),
      "s.yaml:2:36: {code} is written by strata: write {folder}");
}

TEST(Code, FrozenCodeGivesTheCommandAndCountsOnlyIfAsked) {
  const ArtifactRef artifact{.hash = content_hash_of("code"), .bytes = 4, .files = 1};
  const Surroundings frozen{.code = {{"train",
                                      {.argv = {"python3", "{code}/t.py"},
                                       .artifact = artifact,
                                       .versions = {{"code", "sha256:11"}, {"git", "3f2a"}}}}}};
  const TaskSpec recorded = expand_in(kLogged, frozen).tasks[0];
  EXPECT_EQ(recorded.code, artifact);
  EXPECT_EQ(recorded.program.argv, (Strings{"python3", "{code}/t.py"}));
  EXPECT_EQ(recorded.versions.at("git"), "3f2a");
  EXPECT_EQ(recorded.key, expand_text(kLogged).tasks[0].key);
  const TaskSpec keyed = expand_in(kLogged + "identity: {code: key}\n", frozen).tasks[0];
  EXPECT_NE(keyed.key, recorded.key);
  EXPECT_EQ(keyed.versions_in_key, Strings{"code"}) << "a commit that changes no file is no change";
}

}  // namespace
}  // namespace strata
