#include "trainer/data/selection.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

namespace strata::trainer {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Candidate speech(const std::string& id, const std::string& text, double seconds = 2) {
  return {.id = id,
          .speaker = "ann",
          .text = text,
          .source = id + ".g722",
          .samples = static_cast<std::int64_t>(seconds * kCorpusRate)};
}

std::vector<Candidate> many(int count) {
  std::vector<Candidate> all;
  for (int i = 0; i < count; ++i)
    all.push_back(speech("id" + std::to_string(i), "text number " + std::to_string(i)));
  return all;
}

std::set<std::string> ids_of(const Selection& selection, Split split) {
  std::set<std::string> ids;
  for (const Chosen& chosen : selection.kept) {
    if (chosen.split == split) ids.insert(chosen.candidate.id);
  }
  return ids;
}

TEST(Selection, EveryReasonToDropARecordingIsNamed) {
  auto all = many(5);
  all.push_back(speech("a-short", "Hi.", 0.9));
  all.push_back(speech("a-long", "Hello there.", 4.1));
  all.push_back(speech("a-empty", "  "));
  all.push_back({.id = "a-untold", .speaker = "ann", .samples = 32'000});
  all.push_back({.id = "a-silent", .speaker = "ann", .text = "There is no file."});
  all.push_back(speech("a-tone", "[beep]"));
  all.push_back(speech("a-beep", "<beep ascending>"));
  all.push_back(speech("a-star", "press * now"));
  all.push_back(speech("a-bell", "a\x07 bell"));
  all.push_back(speech("a-bytes", "bad \xff bytes"));
  all.push_back(speech("z-again", "  TEXT, number 3!  "));
  const auto selection = select(all, {.heldout = 2});
  ASSERT_TRUE(selection.has_value()) << selection.error().message;
  const auto& dropped = selection->dropped;
  EXPECT_EQ(dropped.size(), 7U);
  EXPECT_THAT(dropped.at("too short"), ElementsAre("a-short"));
  EXPECT_THAT(dropped.at("too long"), ElementsAre("a-long"));
  EXPECT_THAT(dropped.at("no transcript"), ElementsAre("a-empty", "a-untold"));
  EXPECT_THAT(dropped.at("no audio"), ElementsAre("a-silent"));
  EXPECT_THAT(dropped.at("not speech"), ElementsAre("a-beep", "a-tone"));
  EXPECT_THAT(dropped.at("characters"), ElementsAre("a-bell", "a-bytes", "a-star"));
  EXPECT_THAT(dropped.at("duplicate text"), ElementsAre("z-again"));
  EXPECT_EQ(ids_of(*selection, Split::kHeldout).size(), 2U);
  EXPECT_EQ(ids_of(*selection, Split::kTrain).size(), 3U);
}

TEST(Selection, TheOrderOfTheCandidatesDecidesNothingAndTheSeedAll) {
  auto all = many(40);
  const auto one = select(all, {.heldout = 10, .seed = 7});
  std::ranges::reverse(all);
  const auto two = select(all, {.heldout = 10, .seed = 7});
  const auto other = select(all, {.heldout = 10, .seed = 8});
  EXPECT_EQ(ids_of(*one, Split::kHeldout), ids_of(*two, Split::kHeldout));
  EXPECT_EQ(one->prompts, two->prompts);
  EXPECT_NE(ids_of(*one, Split::kHeldout), ids_of(*other, Split::kHeldout));
}

TEST(Selection, ALimitKeepsTheHeldOutItems) {
  const auto all = select(many(40), {.heldout = 5});
  const auto few = select(many(40), {.heldout = 5, .limit = 12});
  EXPECT_EQ(ids_of(*all, Split::kHeldout), ids_of(*few, Split::kHeldout));
  EXPECT_EQ(ids_of(*few, Split::kTrain).size(), 7U);
  EXPECT_EQ(few->dropped.at("over the limit").size(), 28U);
}

TEST(Selection, APromptIsAnotherHeldOutItemOfTheSameSpeaker) {
  auto all = many(20);
  for (int i = 0; i < 20; i += 2) all[static_cast<std::size_t>(i)].speaker = "bob";
  const auto selection = select(all, {.heldout = 10});
  ASSERT_TRUE(selection.has_value()) << selection.error().message;
  const auto heldout = ids_of(*selection, Split::kHeldout);
  ASSERT_EQ(selection->prompts.size(), 10U);
  const auto speaker = [&](const std::string& id) {
    return std::ranges::find(selection->kept, id, [](const Chosen& c) { return c.candidate.id; })
        ->candidate.speaker;
  };
  for (const auto& [id, prompt] : selection->prompts) {
    EXPECT_NE(id, prompt);
    EXPECT_TRUE(heldout.contains(id));
    EXPECT_TRUE(heldout.contains(prompt));
    EXPECT_EQ(speaker(id), speaker(prompt));
  }
}

TEST(Selection, SpeakersAreHeldOutInPairsWhereTheirItemsAllowIt) {
  // Fifteen speakers of two items and ten of one; drawn blindly, most would be held out alone.
  auto all = many(40);
  for (std::size_t i = 0; i < all.size(); ++i)
    all[i].speaker = "speaker" + std::to_string(i < 30 ? i / 2 : i);
  const auto selection = select(all, {.heldout = 20});
  ASSERT_TRUE(selection.has_value()) << selection.error().message;
  EXPECT_EQ(ids_of(*selection, Split::kHeldout).size(), 20U);
  EXPECT_EQ(selection->prompts_from_training, 0);
  const auto heldout = ids_of(*selection, Split::kHeldout);
  for (const auto& [id, prompt] : selection->prompts) EXPECT_TRUE(heldout.contains(prompt)) << id;
  // The limit still decides nothing about who is held out.
  EXPECT_EQ(ids_of(*select(all, {.heldout = 20, .limit = 25}), Split::kHeldout), heldout);
}

TEST(Selection, APromptFromTrainingIsCounted) {
  auto all = many(12);
  for (std::size_t i = 0; i < all.size(); ++i) all[i].speaker = i < 4 ? "ann" : "bob";
  const auto odd = select(all, {.heldout = 1});  // no room for a pair
  ASSERT_TRUE(odd.has_value()) << odd.error().message;
  EXPECT_EQ(odd->prompts_from_training, 1);
  EXPECT_TRUE(ids_of(*odd, Split::kTrain).contains(odd->prompts.begin()->second));
}

TEST(Selection, OfOneSpeakerTheFirstOfTheShuffleAreHeldOut) {
  // As it always was: corpora of one speaker, and all that was made from them, stay.
  const auto selection = select(many(12), {.heldout = 4, .seed = 1});
  EXPECT_THAT(ids_of(*selection, Split::kHeldout), ElementsAre("id11", "id3", "id7", "id8"));
}

TEST(Selection, ReferencesNeedNoTextAreBoundedAndNeverTrainedOn) {
  auto all = many(5);
  for (int i = 0; i < 9; ++i)
    all.push_back(
        {.id = "fr-" + std::to_string(i), .speaker = "june", .samples = 32'000, .reference = true});
  const auto selection = select(all, {.heldout = 2, .references_each = 4});
  EXPECT_EQ(ids_of(*selection, Split::kReference).size(), 4U);
  EXPECT_EQ(selection->dropped.at("reference not needed").size(), 5U);
  EXPECT_EQ(ids_of(*selection, Split::kTrain).size(), 3U);
}

TEST(Selection, NothingLeftToTrainOnALonelySpeakerAndSharedIdsAreErrors) {
  EXPECT_THAT(select(many(5), {.heldout = 5}).error().message,
              HasSubstr("none is left to train on"));
  EXPECT_THAT(select(many(50), {.heldout = 5, .limit = 4}).error().message,
              HasSubstr("none is left to train on"));
  auto lonely = many(4);
  for (std::size_t i = 0; i < 4; ++i) lonely[i].speaker = "speaker" + std::to_string(i);
  EXPECT_THAT(select(lonely, {.heldout = 1}).error().message, HasSubstr("has no other item"));
  auto twice = many(4);
  twice.push_back(twice.front());
  EXPECT_THAT(select(twice, {.heldout = 1}).error().message, HasSubstr("share the id id0"));
}

}  // namespace
}  // namespace strata::trainer
