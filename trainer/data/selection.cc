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

bool is_control(char32_t c) { return c < 0x20 || c == 0x7F; }

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

std::optional<std::string> any_text_problem(const std::optional<std::string>& text) {
  if (!text || trimmed(*text).empty()) return "no transcript";
  const auto points = decode_utf8(*text);
  if (!points || std::ranges::any_of(*points, is_control)) return "characters";
  return {};
}

std::optional<std::string> problem(const Candidate& candidate, const SelectionOptions& options,
                                   std::set<std::string>& forms) {
  if (candidate.samples == 0) return "no audio";
  const double seconds =
      candidate.seconds.value_or(static_cast<double>(candidate.samples) / options.rate);
  if (!candidate.reference) {
    const auto wrong = options.any_text || candidate.required ? any_text_problem(candidate.text)
                                                              : text_problem(candidate.text);
    if (wrong) return wrong;
  }
  if (candidate.required || candidate.split == Split::kPrompt) return {};
  if (seconds < options.seconds_min) return "too short";
  if (seconds > options.seconds_max) return "too long";
  if (!candidate.reference && !options.any_text &&
      !forms.insert(spoken_form(*candidate.text)).second)
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

// The kept items of a speaker that can be heard before another one, in order.
struct Prompts {
  std::vector<const Chosen*> only{};
  std::vector<const Chosen*> heldout{};
  std::vector<const Chosen*> train{};
};

Result<const Chosen*> named_prompt(const Selection& selection, const Candidate& candidate) {
  const auto found = std::ranges::lower_bound(
      selection.kept, candidate.prompt, {},
      [](const Chosen& chosen) -> const std::string& { return chosen.candidate.id; });
  const bool there = found != selection.kept.end() && found->candidate.id == candidate.prompt;
  if (there && candidate.prompt != candidate.id) return &*found;
  std::string why = there ? "an item cannot be its own prompt" : "there is no such recording";
  for (const auto& [reason, ids] : selection.dropped) {
    if (std::ranges::binary_search(ids, candidate.prompt))
      why = fmt::format("that recording was left out ({})", reason);
  }
  return fail(ErrorCode::kInvalid, "{}: the prompt {} of {}: {}",
              candidate.where.empty() ? candidate.id : candidate.where, candidate.prompt,
              candidate.id, why);
}

Status choose_prompts(Selection& selection, std::uint64_t seed) {
  std::map<std::string, Prompts> speakers;
  for (const Chosen& chosen : selection.kept) {
    Prompts& prompts = speakers[chosen.candidate.speaker];
    if (chosen.split == Split::kPrompt) prompts.only.push_back(&chosen);
    if (chosen.split == Split::kHeldout) prompts.heldout.push_back(&chosen);
    if (chosen.split == Split::kTrain) prompts.train.push_back(&chosen);
  }
  for (const Chosen& chosen : selection.kept) {
    const Candidate& candidate = chosen.candidate;
    if (chosen.split != Split::kHeldout) continue;
    const Chosen* prompt = nullptr;
    if (!candidate.prompt.empty()) {
      STRATA_TRY(prompt, named_prompt(selection, candidate));
    } else {
      const Prompts& of_speaker = speakers.at(candidate.speaker);
      std::vector<const Chosen*> heldout = of_speaker.heldout;
      std::erase(heldout, &chosen);
      // The model has heard the training items: a prompt from the held-out ones, where there is
      // one, makes the test a fair one.
      const auto& pool = !of_speaker.only.empty() ? of_speaker.only
                         : !heldout.empty()       ? heldout
                                                  : of_speaker.train;
      if (pool.empty()) {
        return fail(ErrorCode::kInvalid,
                    "the held-out item {} has no prompt: speaker {} has no other item",
                    candidate.id, candidate.speaker);
      }
      Random random(derive_seed(seed, "prompt/" + candidate.id));
      prompt = pool[random.bounded(pool.size())];
    }
    selection.prompts[candidate.id] = prompt->candidate.id;
    if (prompt->split == Split::kTrain) ++selection.prompts_from_training;
  }
  return {};
}

// Those that may be used, without prompts and references.
struct Sorted {
  std::vector<Candidate> speech{};
  std::map<std::string, std::vector<Candidate>> references{};  // of each speaker
  bool split_said = false;
};

Result<Sorted> sort_out(std::vector<Candidate> candidates, const SelectionOptions& options,
                        Selection& selection) {
  Sorted sorted;
  std::set<std::string> forms;
  for (Candidate& candidate : candidates) {
    sorted.split_said = sorted.split_said || candidate.split.has_value();
    if (candidate.text) candidate.text = trimmed(*candidate.text);
    if (const auto reason = problem(candidate, options, forms)) {
      if (candidate.required) {
        return fail(ErrorCode::kInvalid, "{}: {} cannot be used ({}), and the list is fixed",
                    candidate.where, candidate.id, *reason);
      }
      selection.dropped[*reason].push_back(candidate.id);
    } else if (candidate.reference) {
      sorted.references[candidate.speaker].push_back(std::move(candidate));
    } else if (candidate.split == Split::kPrompt) {
      selection.kept.push_back({std::move(candidate), Split::kPrompt});
    } else {
      sorted.speech.push_back(std::move(candidate));
    }
  }
  return sorted;
}

// Puts the held-out ones in front, and counts them.
Result<std::int64_t> hold_out(Sorted& sorted, const SelectionOptions& options) {
  std::vector<Candidate>& speech = sorted.speech;
  std::int64_t heldout = options.heldout;
  if (sorted.split_said) {
    const auto untold =
        std::ranges::find_if(speech, [](const Candidate& one) { return !one.split.has_value(); });
    if (untold != speech.end()) {
      return fail(ErrorCode::kInvalid,
                  "{}: {} says no split, others do: say it for all of them or for none",
                  untold->where.empty() ? untold->id : untold->where, untold->id);
    }
    const auto rest = std::ranges::stable_partition(
        speech, [](const Candidate& one) { return one.split == Split::kHeldout; });
    heldout = rest.begin() - speech.begin();
  }
  const std::int64_t usable = std::ssize(speech);
  const std::int64_t wanted = std::min(usable, options.limit.value_or(usable));
  if (options.training && wanted <= heldout) {
    return fail(ErrorCode::kInvalid,
                "{} usable recordings of {} to {} s, {} to be used, {} of them held out: none is "
                "left to train on",
                usable, options.seconds_min, options.seconds_max, wanted, heldout);
  }
  if (!sorted.split_said) draw_heldout_first(speech, static_cast<std::size_t>(heldout));
  return heldout;
}

}  // namespace

std::optional<std::string> text_problem(const std::optional<std::string>& text) {
  if (!text || trimmed(*text).empty()) return "no transcript";
  const auto points = decode_utf8(*text);
  if (!points) return "characters";
  if (points->find_first_of(kBrackets) != std::u32string::npos) return "not speech";
  if (points->find_first_of(kUnspoken) != std::u32string::npos) return "characters";
  if (std::ranges::any_of(*points, is_control)) return "characters";
  if (spoken_form(*text).empty()) return "not speech";
  return {};
}

Result<Selection> select(std::vector<Candidate> candidates, const SelectionOptions& options) {
  std::ranges::sort(candidates, {}, &Candidate::id);
  const auto twice = std::ranges::adjacent_find(candidates, {}, &Candidate::id);
  if (twice != candidates.end())
    return fail(ErrorCode::kInvalid, "two recordings share the id {}{}", twice->id,
                twice->where.empty()
                    ? ""
                    : fmt::format(" ({}, {})", twice->where, std::next(twice)->where));

  Selection selection;
  STRATA_TRY(Sorted sorted, sort_out(std::move(candidates), options, selection));
  std::vector<Candidate>& speech = sorted.speech;
  shuffle(speech, Random(derive_seed(options.seed, "split")));
  STRATA_TRY(const std::int64_t heldout, hold_out(sorted, options));
  const std::int64_t usable = std::ssize(speech);
  const std::int64_t wanted = std::min(usable, options.limit.value_or(usable));
  for (std::int64_t i = 0; i < usable; ++i) {
    Candidate& candidate = speech[static_cast<std::size_t>(i)];
    if (i < wanted) {
      selection.kept.push_back(
          {std::move(candidate), i < heldout ? Split::kHeldout : Split::kTrain});
    } else {
      selection.dropped["over the limit"].push_back(candidate.id);
    }
  }
  for (auto& [speaker, clips] : sorted.references) {
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
