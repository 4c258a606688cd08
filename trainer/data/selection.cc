#include "trainer/data/selection.h"

#include <algorithm>
#include <set>

#include "base/assert.h"
#include "base/random.h"
#include "base/utf8.h"

namespace strata::trainer {
namespace {

constexpr std::string_view kWhite = " \t\r\n";
// Signs that are spoken as a word ("star"), or mark what is not speech at all ("[beep]").
constexpr std::u32string_view kUnspoken = U"*#@_|\\^~=+%$&{}";
constexpr std::u32string_view kBrackets = U"[]<>";

std::string trimmed(std::string_view text) {
  const std::size_t first = text.find_first_not_of(kWhite);
  if (first == std::string_view::npos) return {};
  return std::string(text.substr(first, text.find_last_not_of(kWhite) - first + 1));
}

// What two prompts share when they say the same: ASCII letters in lower case, digits, other
// characters; no punctuation.
std::string spoken_form(std::string_view text) {
  std::string form;
  for (const char c : text) {
    if (c >= 'A' && c <= 'Z') form.push_back(static_cast<char>(c - 'A' + 'a'));
    if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || static_cast<unsigned char>(c) >= 0x80)
      form.push_back(c);
  }
  return form;
}

// Fisher and Yates, from the front: the first n elements do not depend on how many follow them
// being used.
void shuffle(std::vector<Candidate>& items, Random random) {
  for (std::size_t i = 0; i + 1 < items.size(); ++i)
    std::swap(items[i], items[i + random.bounded(items.size() - i)]);
}

std::optional<std::string> problem(const Candidate& candidate, const SelectionOptions& options,
                                   std::set<std::string>& forms) {
  if (candidate.samples == 0) return "no audio";
  const double seconds = static_cast<double>(candidate.samples) / kCorpusRate;
  if (!candidate.reference) {
    if (auto wrong = text_problem(candidate.text)) return wrong;
  }
  if (seconds < options.seconds_min) return "too short";
  if (seconds > options.seconds_max) return "too long";
  if (!candidate.reference && !forms.insert(spoken_form(*candidate.text)).second)
    return "duplicate text";
  return {};
}

// Puts those to be held out in front, in the order in which they were drawn, and the rest behind
// them in the order they have. A speaker comes with two items at once wherever that is possible, so
// that each can be the other's prompt; who has one item only comes last of all.
void draw_heldout_first(std::vector<Candidate>& speech, std::size_t count) {
  std::map<std::string, std::vector<std::size_t>> of_speaker;  // places, in order
  for (std::size_t i = 0; i < speech.size(); ++i) of_speaker[speech[i].speaker].push_back(i);
  std::vector<std::size_t> drawn;
  std::vector<bool> taken(speech.size(), false);
  std::set<std::string> begun;
  const auto take = [&](std::size_t place) {
    drawn.push_back(place);
    taken[place] = true;
    begun.insert(speech[place].speaker);
  };
  // Three rounds, each with a weaker condition: in pairs; any whose speaker has another item; any.
  for (int round = 0; round < 3; ++round) {
    for (std::size_t i = 0; i < speech.size() && drawn.size() < count; ++i) {
      const auto& places = of_speaker.at(speech[i].speaker);
      if (taken[i]) continue;
      if (round == 0 && !begun.contains(speech[i].speaker)) {
        if (places.size() < 2 || count - drawn.size() < 2) continue;
        take(i);
        take(places[1]);  // i is the first of its speaker
      } else if (round != 1 || places.size() >= 2) {
        take(i);
      }
    }
  }
  std::vector<Candidate> ordered;
  for (const std::size_t place : drawn) ordered.push_back(std::move(speech[place]));
  for (std::size_t i = 0; i < speech.size(); ++i) {
    if (!taken[i]) ordered.push_back(std::move(speech[i]));
  }
  speech = std::move(ordered);
}

Status choose_prompts(Selection& selection, std::uint64_t seed) {
  for (const Chosen& chosen : selection.kept) {
    if (chosen.split != Split::kHeldout) continue;
    std::vector<const Chosen*> heldout;
    std::vector<const Chosen*> train;
    for (const Chosen& other : selection.kept) {
      if (&other == &chosen || other.candidate.speaker != chosen.candidate.speaker) continue;
      if (other.split == Split::kHeldout) heldout.push_back(&other);
      if (other.split == Split::kTrain) train.push_back(&other);
    }
    // The model has heard the training items: a prompt from the held-out ones, where there is one,
    // makes the test a fair one.
    const auto& pool = heldout.empty() ? train : heldout;
    if (pool.empty()) {
      return fail(ErrorCode::kInvalid,
                  "the held-out item {} has no prompt: speaker {} has no other item",
                  chosen.candidate.id, chosen.candidate.speaker);
    }
    Random random(derive_seed(seed, "prompt/" + chosen.candidate.id));
    selection.prompts[chosen.candidate.id] = pool[random.bounded(pool.size())]->candidate.id;
    if (heldout.empty()) ++selection.prompts_from_training;
  }
  return {};
}

}  // namespace

std::optional<std::string> text_problem(const std::optional<std::string>& text) {
  if (!text || trimmed(*text).empty()) return "no transcript";
  const auto points = decode_utf8(*text);
  if (!points) return "characters";
  if (points->find_first_of(kBrackets) != std::u32string::npos) return "not speech";
  if (points->find_first_of(kUnspoken) != std::u32string::npos) return "characters";
  if (std::ranges::any_of(*points, [](char32_t c) { return c < 0x20 || c == 0x7F; }))
    return "characters";
  if (spoken_form(*text).empty()) return "not speech";
  return {};
}

Result<Selection> select(std::vector<Candidate> candidates, const SelectionOptions& options) {
  std::ranges::sort(candidates, {}, &Candidate::id);
  const auto twice = std::ranges::adjacent_find(candidates, {}, &Candidate::id);
  if (twice != candidates.end())
    return fail(ErrorCode::kInvalid, "two recordings share the id {}", twice->id);

  Selection selection;
  std::vector<Candidate> speech;
  std::map<std::string, std::vector<Candidate>> references;
  std::set<std::string> forms;
  for (Candidate& candidate : candidates) {
    if (candidate.text) candidate.text = trimmed(*candidate.text);
    if (const auto reason = problem(candidate, options, forms)) {
      selection.dropped[*reason].push_back(candidate.id);
    } else if (candidate.reference) {
      references[candidate.speaker].push_back(std::move(candidate));
    } else {
      speech.push_back(std::move(candidate));
    }
  }

  shuffle(speech, Random(derive_seed(options.seed, "split")));
  const std::int64_t usable = std::ssize(speech);
  const std::int64_t wanted = std::min(usable, options.limit.value_or(usable));
  if (wanted <= options.heldout) {
    return fail(ErrorCode::kInvalid,
                "{} usable recordings of {} to {} s, {} to be used, {} of them held out: none is "
                "left to train on",
                usable, options.seconds_min, options.seconds_max, wanted, options.heldout);
  }
  draw_heldout_first(speech, static_cast<std::size_t>(options.heldout));
  for (std::int64_t i = 0; i < usable; ++i) {
    Candidate& candidate = speech[static_cast<std::size_t>(i)];
    if (i < wanted) {
      selection.kept.push_back(
          {std::move(candidate), i < options.heldout ? Split::kHeldout : Split::kTrain});
    } else {
      selection.dropped["over the limit"].push_back(candidate.id);
    }
  }
  for (auto& [speaker, clips] : references) {
    shuffle(clips, Random(derive_seed(options.seed, "references/" + speaker)));
    for (std::size_t i = 0; i < clips.size(); ++i) {
      if (static_cast<std::int64_t>(i) < options.references_each) {
        selection.kept.push_back({std::move(clips[i]), Split::kReference});
      } else {
        selection.dropped["reference not needed"].push_back(clips[i].id);
      }
    }
  }
  std::ranges::sort(selection.kept, {},
                    [](const Chosen& chosen) -> const std::string& { return chosen.candidate.id; });
  for (auto& [reason, ids] : selection.dropped) std::ranges::sort(ids);
  STRATA_CHECK_OK(choose_prompts(selection, options.seed));
  return selection;
}

}  // namespace strata::trainer
