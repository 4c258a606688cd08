#include "trainer/checkpoint_recipe.h"

#include "base/json.h"

namespace strata::trainer {
namespace {

constexpr std::size_t kShownMax = 80;  // characters of a value in a message

Value normal_form(Value recipe) {
  Object* object = recipe.if_object();
  const auto it = object != nullptr ? object->find("parameters") : Object::iterator{};
  if (object == nullptr || it == object->end()) return recipe;
  Value& parameters = it->second;
  for (const std::string_view path : kNoPartOfTheResult) parameters.unset(path);
  for (const auto& [path, neutral] : kNeutral) {
    const Value* value = parameters.find(path);
    if (value != nullptr && *value == parse_json(neutral).value()) parameters.unset(path);
  }
  return recipe;
}

std::string shown(const Value* value) {
  if (value == nullptr) return "absent";
  std::string text = to_canonical_json(*value);
  if (text.size() > kShownMax) text = text.substr(0, kShownMax - 3) + "...";
  return text;
}

std::optional<std::string> difference(const std::string& path, const Value* here,
                                      const Value* there) {
  if (here != nullptr && there != nullptr && *here == *there) return {};
  const Object* ours = here != nullptr ? here->if_object() : nullptr;
  const Object* theirs = there != nullptr ? there->if_object() : nullptr;
  if (ours == nullptr || theirs == nullptr) {
    return fmt::format("{} is {}, there {}", path.empty() ? "the recipe" : path, shown(here),
                       shown(there));
  }
  Object names = *ours;
  names.insert(theirs->begin(), theirs->end());
  for (const auto& [name, unused] : names) {
    const auto our = ours->find(name);
    const auto their = theirs->find(name);
    if (our == ours->end() && their == theirs->end()) continue;
    auto found = difference(path.empty() ? name : path + "." + name,
                            our != ours->end() ? &our->second : nullptr,
                            their != theirs->end() ? &their->second : nullptr);
    if (found) return found;
  }
  return {};
}

}  // namespace

Value recipe_of(const Value& parameters, std::uint64_t seed, const std::string& init) {
  Object recipe{{"parameters", parameters}, {"seed", static_cast<std::int64_t>(seed)}};
  if (!init.empty()) recipe.emplace("init", init);
  return recipe;
}

std::optional<std::string> recipe_difference(const Value& here, const Value& there) {
  const Value ours = normal_form(here);
  const Value theirs = normal_form(there);
  return difference("", &ours, &theirs);
}

}  // namespace strata::trainer
