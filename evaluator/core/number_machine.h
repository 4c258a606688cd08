// The one-pass machine of number_normalizer.h over words: it looks at the word before, this one and
// the next, and keeps a sign and a number that is not finished. Pure.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "evaluator/core/english_words.h"

namespace strata::evaluator {

template <class Unit>
struct NumberToken {
  static constexpr std::size_t kNowhere = static_cast<std::size_t>(-1);

  std::basic_string_view<Unit> text{};  // never empty
  std::size_t at = kNowhere;            // its place in the whole text, if it stands there as it is
  const EnglishWord* word = nullptr;

  [[nodiscard]] NumberWord kind() const {
    return word == nullptr ? NumberWord::kNone : word->number;
  }
};

template <class Unit>
class NumberMachine {
 public:
  using Text = std::basic_string<Unit>;
  using View = std::basic_string_view<Unit>;
  using Token = NumberToken<Unit>;

  // `out` gets the words with a space between them; `source` is where tokens stand.
  NumberMachine(View source, Text& out) : source_(source), out_(out) {}

  // Once. kTooLarge where the original ends with an exception.
  [[nodiscard]] Status run(const std::vector<Token>& tokens);

 private:
  // A number in the making. The original has an integer or a string here, and treats them
  // differently; all integers are decimal digits without leading zeros, of any length.
  enum class Kind { kNothing, kInteger, kText };

  void take(const Token& token);
  void take_digits(View digits, bool has_sign);
  void take_zero();
  void take_ones(const Token& token);
  void take_ones_suffixed(const Token& token);
  void take_tens(const Token& token);
  void take_tens_suffixed(const Token& token);
  void take_multiplier(int power);
  void take_multiplier_suffixed(const Token& token);
  void take_sign(const Token& token);
  void take_unit(const Token& token);
  void take_per(const Token& token);
  void take_special(const Token& token);
  void take_repeat(const Token& token);

  [[nodiscard]] bool next_is_number_or_word() const;
  [[nodiscard]] bool next_is_numeric() const;
  [[nodiscard]] bool previous_is(NumberWord kind) const {
    return previous_ != nullptr && previous_->kind() == kind;
  }
  [[nodiscard]] bool next_is(NumberWord kind) const {
    return next_ != nullptr && next_->kind() == kind;
  }
  [[nodiscard]] bool ends_with_zeros(std::size_t count) const;
  [[nodiscard]] bool is_zero() const {
    return kind_ == Kind::kInteger && digits_.size() == 1 && digits_[0] == Unit{'0'};
  }

  void set_integer(int value);
  void replace_last(int value);
  void append_to_text(int value);
  void append_ones(int ones);
  void append_tens(int tens);
  void text_or_nothing();
  void multiply(int power);
  bool multiply_exactly(int power);
  void require_length(std::size_t digits);

  void flush();
  void begin_word();
  void emit_number(std::string_view suffix = "");
  void emit_number_if_any() {
    if (kind_ != Kind::kNothing) emit_number();
  }
  void emit_word(const Token& token);

  View source_;
  Text& out_;
  // Words of the source that go out as they are, and so all at once.
  std::size_t run_begin_ = 0;
  std::size_t run_end_ = 0;
  const Token* previous_ = nullptr;
  const Token* next_ = nullptr;
  Kind kind_ = Kind::kNothing;
  Text digits_{};
  Unit sign_ = 0;  // 0: none
  bool skip_ = false;
  bool too_large_ = false;
};

extern template class NumberMachine<char>;
extern template class NumberMachine<char32_t>;

}  // namespace strata::evaluator
