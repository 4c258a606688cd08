#include "schema/yaml.h"

#include <gtest/gtest.h>

#include "base/json.h"
#include "base/random.h"

namespace strata {
namespace {

Value to_value(const YamlNode& node) {
  if (node.kind == YamlKind::kList) {
    Array array;
    for (const YamlNode& item : node.items) array.push_back(to_value(item));
    return array;
  }
  if (node.kind == YamlKind::kMap) {
    Object object;
    for (const YamlEntry& entry : node.entries) object.emplace(entry.key, to_value(entry.value));
    return object;
  }
  return node.kind == YamlKind::kModel ? Value("model:" + *node.scalar.if_string()) : node.scalar;
}

// The tree as canonical JSON, or the error.
std::string read(std::string_view text) {
  const auto node = parse_yaml(text, "f.yaml");
  return node ? to_canonical_json(to_value(*node)) : node.error().message;
}

TEST(Yaml, AQuotedScalarIsAlwaysAText) {
  EXPECT_EQ(read("['1', \"true\", 'null', \"~\", '']"), R"(["1","true","null","~",""])");
}

TEST(Yaml, PlainScalarsFollowTheCoreRulesMadeStricter) {
  EXPECT_EQ(read("[no, yes, on, off, n, y]"), R"(["no","yes","on","off","n","y"])");
  EXPECT_EQ(read("[true, false, null, Null, NULL, ~]"), "[true,false,null,null,null,null]");
  EXPECT_EQ(read("a:\nb: 1"), R"({"a":null,"b":1})");
  EXPECT_EQ(read("[12, 012, -0.50, +3, .5, 5., 1e-4, 0.0001, 1E3, -0]"),
            "[12,12,-0.5,3,0.5,5,0.0001,0.0001,1000,0]");
  EXPECT_EQ(read("[1.6.1-1, 2026-11-22, 12:30, 1e, e4, -, 4a, 3 m]"),
            R"(["1.6.1-1","2026-11-22","12:30","1e","e4","-","4a","3 m"])");
}

TEST(Yaml, WhatOtherReadersTakeForSomethingElseIsRefused) {
  EXPECT_EQ(read("a: True"),
            "f.yaml:1:4: True is ambiguous: write true, or quote it if it is a text");
  EXPECT_EQ(read("a: 0x1F"),
            "f.yaml:1:4: 0x1F is ambiguous: write a decimal number, or quote it if it is a text");
  EXPECT_EQ(read("a: 1_000"),
            "f.yaml:1:4: 1_000 is ambiguous: write a decimal number, or quote it if it is a text");
  EXPECT_EQ(read("a: .inf"), "f.yaml:1:4: .inf is no decimal number: quote it if it is a text");
  EXPECT_EQ(read("a: -.INF"), "f.yaml:1:4: -.INF is no decimal number: quote it if it is a text");
}

TEST(Yaml, NumbersThatNoProgramCouldReadAreRefused) {
  EXPECT_EQ(read("a: 1e400"), "f.yaml:1:4: 1e400 is beyond what programs compute with (1.8e308)");
  EXPECT_EQ(read("a: 1e10000000"),
            "f.yaml:1:4: \"1e10000000\": its exponent is larger than 1000000");
  EXPECT_EQ(read("a: 1e-400"), R"({"a":1e-400})");
}

TEST(Yaml, AnAliasIsNotCopiedBeyondTheLimit) {
  std::string text = "a: &a [0";
  for (std::size_t i = 0; i < 1'000; ++i) text += ", 1";
  text += "]\nb: [*a";
  for (std::size_t i = 0; i < 200'000; ++i) text += ", *a";  // 2e8 values
  EXPECT_NE(read(text + "]\n").find("more than"), std::string::npos);
}

TEST(Yaml, ADuplicateKeyIsAnErrorWithBothPlaces) {
  EXPECT_EQ(read("a: 1\nb:\n  c: 1\n  c: 2\n"),
            "f.yaml:4:3: the key c stands here for the second time; the first is at 3:3");
}

TEST(Yaml, EveryValueAndKeyKnowsItsPlace) {
  const auto node =
      parse_yaml("# comment\nbase:\n  train: {lr: 1e-3, \"b\": [1,\n    2]}\n", "f.yaml", 7);
  ASSERT_TRUE(node) << node.error().message;
  const YamlNode* train = node->find("base")->find("train");
  EXPECT_EQ(train->entries[0].at.line, 3);
  EXPECT_EQ(train->entries[0].at.column, 11);
  EXPECT_EQ(train->find("lr")->at.column, 15);
  EXPECT_EQ(train->find("b")->items[1].at.line, 4);
  EXPECT_EQ(train->find("b")->items[1].at.column, 5);
  EXPECT_EQ(train->find("b")->items[1].at.file, 7);
}

TEST(Yaml, AnAliasIsACopyAndAMergeKeyIsRefused) {
  EXPECT_EQ(read("a: &x {b: 1}\nc: *x"), R"({"a":{"b":1},"c":{"b":1}})");
  EXPECT_EQ(read("a: &x {b: 1}\nc:\n  <<: *x"),
            "f.yaml:3:3: merge keys (<<) are not part of this language: write the values out");
  EXPECT_EQ(read("a: &x [1, *x]"), "f.yaml:1:11: this alias stands inside the value that it names");
}

TEST(Yaml, TheOnlyTagIsModel) {
  EXPECT_EQ(read("a: !model whisper-base"), R"({"a":"model:whisper-base"})");
  EXPECT_EQ(read("a: !!str 3"),
            "f.yaml:1:4: unknown tag tag:yaml.org,2002:str: the only one is !model NAME");
  EXPECT_EQ(read("a: !model {b: 1}"),
            "f.yaml:1:4: unknown tag !model: the only one is !model NAME");
  EXPECT_EQ(read("!model a: 1"), "f.yaml:1:1: a key must be a text");
}

TEST(Yaml, KeysAreTextsAsWritten) {
  EXPECT_EQ(read("1: a\nno: b\n0x1F: c"), R"({"0x1F":"c","1":"a","no":"b"})");
  EXPECT_EQ(read("? [a]\n: b"), "f.yaml:1:3: a key must be a text");
}

TEST(Yaml, ATabInTheIndentationIsSaid) {
  EXPECT_EQ(read("a:\n\tb: 1\n"),
            "f.yaml:2:1: no valid YAML: the line is indented with a tab, YAML takes spaces");
  EXPECT_EQ(read("a: 1\nb:\n  c: 1\n \t d: 2\n"),
            "f.yaml:4:2: no valid YAML: the line is indented with a tab, YAML takes spaces");
  EXPECT_EQ(read("a:\t1\n"), R"({"a":1})") << "elsewhere it is a space like any other";
}

TEST(Yaml, BrokenTextIsAnErrorWithItsPlace) {
  EXPECT_EQ(read("a: [1, 2\nb: 3"), "f.yaml:2:2: no valid YAML: end of sequence flow not found");
  EXPECT_EQ(read(std::string("a: b\nc: \0d", 9)), "f.yaml:2:4: control character 0x00");
  EXPECT_EQ(read("a: \xff"), "f.yaml:1:1: the file is not UTF-8 text");
  EXPECT_EQ(read("a: 1\n---\nb: 2\n"), "f.yaml:2:1: a second document (after ---); one is read");
  EXPECT_EQ(read("# x\n---\na: 1\n--- {b: 2}\n"),
            "f.yaml:4:1: a second document (after ---); one is read");
  EXPECT_EQ(read(""), "null");
  EXPECT_EQ(read("# nothing\n"), "null");
}

TEST(Yaml, EveryLimitIsKept) {
  const std::string deep = std::string(200, '[') + std::string(200, ']');
  EXPECT_EQ(read(deep), "f.yaml:1:65: nested deeper than 64 levels");
  EXPECT_FALSE(parse_yaml(std::string(100'000, '['), "f.yaml"));
  EXPECT_FALSE(parse_yaml(std::string(100'000, '{'), "f.yaml"));
  EXPECT_FALSE(parse_yaml(std::string(kYamlBytesMax + 1, 'a'), "f.yaml"));
  std::string bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 12; ++i) {
    bomb += fmt::format(
        "a{0}: &a{0} [*a{1}, *a{1}, *a{1}, *a{1}, *a{1}, *a{1}, *a{1}, *a{1}, *a{1}, *a{1}]\n", i,
        i - 1);
  }
  const auto bombed = parse_yaml(bomb, "f.yaml");
  ASSERT_FALSE(bombed);
  EXPECT_NE(bombed.error().message.find("more than 1000000 values"), std::string::npos)
      << bombed.error().message;
  EXPECT_EQ(read("a: " + std::string(200, '1')),
            "f.yaml:1:4: a number of 200 characters: at most 100 are read");
}

TEST(Yaml, AnyTextGivesATreeOrAnError) {
  static constexpr std::string_view kPieces[] = {
      "a",  ": ",      "\n",  "  ", "- ", "[", "]", "{",  "}",        ",",   "&x ",
      "*x", "!model ", "!!",  "'",  "\"", "|", ">", "#",  "%",        "---", "...",
      "? ", "\t",      "1e5", "~",  "<<", "@", "`", "\\", "\xc3\xa9", "\r\n"};
  int trees = 0;
  for (std::uint64_t seed = 0; seed < 20'000; ++seed) {
    Random random(seed);
    std::string text;
    for (std::uint64_t n = random.bounded(40); n > 0; --n)
      text += kPieces[random.bounded(std::size(kPieces))];
    const auto node = parse_yaml(text, "f.yaml");
    const std::string message = node ? "f.yaml:" : node.error().message;
    EXPECT_TRUE(message.starts_with("f.yaml:")) << message;
    trees += node ? 1 : 0;
  }
  EXPECT_GT(trees, 100);  // the loop must meet both outcomes
}

}  // namespace
}  // namespace strata
