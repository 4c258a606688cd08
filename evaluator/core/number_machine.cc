#include "evaluator/core/number_machine.h"

#include <algorithm>

#include "base/assert.h"
#include "evaluator/core/english_alphabet.h"
#include "evaluator/core/number_normalizer.h"

namespace strata::evaluator {
namespace {

// Length of the run of \d from `at`.
template <class Unit>
std::size_t digit_run(std::basic_string_view<Unit> text, std::size_t at) {
  std::size_t end = at;
  while (end < text.size() && Alphabet<Unit>::decimal(text[end]) >= 0) ++end;
  return end - at;
}

// ^\d+(\.\d+)?$
template <class Unit>
bool is_numeric(std::basic_string_view<Unit> text) {
  const std::size_t whole = digit_run(text, 0);
  if (whole == 0) return false;
  if (whole == text.size()) return true;
  if (text[whole] != Unit{'.'}) return false;
  const std::size_t rest = digit_run(text, whole + 1);
  return rest > 0 && whole + 1 + rest == text.size();
}

template <class Unit>
bool is_sign(Unit c) {
  return c == Unit{'-'} || c == Unit{'+'} || c == Alphabet<Unit>::kCent || is_money(c);
}

template <class Unit>
Unit sign_unit(char sign) {
  switch (sign) {
    case narrow::kCent: return Alphabet<Unit>::kCent;
    case narrow::kPound: return Alphabet<Unit>::kPound;
    case narrow::kEuro: return Alphabet<Unit>::kEuro;
    default: return static_cast<Unit>(sign);
  }
}

template <class Unit>
void append_number(std::basic_string<Unit>& text, int value) {
  if (value >= 10) text += static_cast<Unit>('0' + value / 10);
  text += static_cast<Unit>('0' + value % 10);
}

template <class Unit>
void drop_leading_zeros(std::basic_string<Unit>& digits) {
  const std::size_t first = digits.find_first_not_of(Unit{'0'});
  digits.erase(0, first == std::basic_string<Unit>::npos ? digits.size() - 1 : first);
}

// ASCII digits added as numbers.
template <class Unit>
std::basic_string<Unit> sum_of(std::basic_string_view<Unit> a, std::basic_string_view<Unit> b) {
  std::basic_string<Unit> sum;
  int carry = 0;
  for (std::size_t i = 0; i < std::max(a.size(), b.size()) || carry > 0; ++i) {
    if (i < a.size()) carry += static_cast<int>(a[a.size() - 1 - i] - Unit{'0'});
    if (i < b.size()) carry += static_cast<int>(b[b.size() - 1 - i] - Unit{'0'});
    sum += static_cast<Unit>('0' + carry % 10);
    carry /= 10;
  }
  std::ranges::reverse(sum);
  return sum;
}

}  // namespace

template <class Unit>
Status NumberMachine<Unit>::run(const std::vector<Token>& tokens) {
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    if (skip_) {
      skip_ = false;
      continue;
    }
    previous_ = i > 0 ? &tokens[i - 1] : nullptr;
    next_ = i + 1 < tokens.size() ? &tokens[i + 1] : nullptr;
    take(tokens[i]);
  }
  emit_number_if_any();
  flush();
  if (too_large_) {
    return fail(ErrorCode::kTooLarge,
                "a number has more than {} digits, which Whisper's English rules cannot convert; "
                "shorten the text or take another protocol",
                kNumberDigitsMax);
  }
  return {};
}

template <class Unit>
void NumberMachine<Unit>::take(const Token& token) {
  switch (token.kind()) {
    case NumberWord::kNone: break;
    case NumberWord::kZero: return take_zero();
    case NumberWord::kOnes: return take_ones(token);
    case NumberWord::kOnesSuffixed: return take_ones_suffixed(token);
    case NumberWord::kTens: return take_tens(token);
    case NumberWord::kTensSuffixed: return take_tens_suffixed(token);
    case NumberWord::kMultiplier: return take_multiplier(token.word->value);
    case NumberWord::kMultiplierSuffixed: return take_multiplier_suffixed(token);
    case NumberWord::kSign: return take_sign(token);
    case NumberWord::kUnit: return take_unit(token);
    case NumberWord::kPercent: return kind_ == Kind::kNothing ? emit_word(token) : emit_number("%");
    case NumberWord::kPer: return take_per(token);
    case NumberWord::kAnd:
    case NumberWord::kRepeat:
    case NumberWord::kPoint: return take_special(token);
  }
  if (token.word == nullptr && !is_ascii_lower(token.text[0])) {
    const bool has_sign = is_sign(token.text[0]);
    const View digits = token.text.substr(has_sign ? 1 : 0);
    if (is_numeric(digits)) return take_digits(digits, has_sign);
  }
  emit_number_if_any();
  emit_word(token);
}

// Arabic digits, perhaps with a sign and decimals.
template <class Unit>
void NumberMachine<Unit>::take_digits(View digits, bool has_sign) {
  const std::size_t whole = digit_run(digits, 0);
  const View decimals = digits.substr(std::min(whole + 1, digits.size()));
  require_length(whole);
  require_length(decimals.size());
  if (kind_ == Kind::kText && digits_.back() == Unit{'.'}) {
    if (has_sign) digits_ += *(digits.data() - 1);
    digits_ += digits;
    return;
  }
  emit_number_if_any();
  if (has_sign) sign_ = *(digits.data() - 1);
  const bool integer =
      std::ranges::all_of(decimals, [](Unit c) { return Alphabet<Unit>::decimal(c) == 0; });
  kind_ = integer ? Kind::kInteger : Kind::kText;
  digits_ = integer ? digits.substr(0, whole) : digits;
  if (!integer) return;
  for (Unit& c : digits_) c = static_cast<Unit>('0' + Alphabet<Unit>::decimal(c));
  drop_leading_zeros(digits_);
}

template <class Unit>
void NumberMachine<Unit>::take_zero() {
  text_or_nothing();
  digits_ += Unit{'0'};
}

template <class Unit>
void NumberMachine<Unit>::take_ones(const Token& token) {
  if (kind_ == Kind::kNothing) return set_integer(token.word->value);
  append_ones(token.word->value);
}

template <class Unit>
void NumberMachine<Unit>::take_ones_suffixed(const Token& token) {
  take_ones(token);
  emit_number(token.word->suffix);
}

template <class Unit>
void NumberMachine<Unit>::take_tens(const Token& token) {
  if (kind_ == Kind::kNothing) return set_integer(token.word->value);
  append_tens(token.word->value);
}

template <class Unit>
void NumberMachine<Unit>::take_tens_suffixed(const Token& token) {
  take_tens(token);
  emit_number(token.word->suffix);
}

template <class Unit>
void NumberMachine<Unit>::append_ones(int ones) {
  if (kind_ == Kind::kText && previous_is(NumberWord::kTens) && ones < 10) {
    // "one one twenty three": the last zero of the string gives way
    STRATA_ASSERT(digits_.back() == Unit{'0'});
    return replace_last(ones);
  }
  const bool adds = kind_ == Kind::kInteger && !previous_is(NumberWord::kOnes) &&
                    ends_with_zeros(ones < 10 ? 1 : 2);
  return adds ? replace_last(ones) : append_to_text(ones);
}

template <class Unit>
void NumberMachine<Unit>::append_tens(int tens) {
  return kind_ == Kind::kInteger && ends_with_zeros(2) ? replace_last(tens) : append_to_text(tens);
}

template <class Unit>
void NumberMachine<Unit>::take_multiplier(int power) {
  if (kind_ == Kind::kInteger && !is_zero()) return multiply(power);
  if (kind_ != Kind::kNothing) {
    if (multiply_exactly(power)) return;
    emit_number();
  }
  set_integer(1);
  digits_.append(static_cast<std::size_t>(power), Unit{'0'});
}

template <class Unit>
void NumberMachine<Unit>::take_multiplier_suffixed(const Token& token) {
  take_multiplier(token.word->value);
  emit_number(token.word->suffix);
}

// "minus" and the like before a number; else a word.
template <class Unit>
void NumberMachine<Unit>::take_sign(const Token& token) {
  emit_number_if_any();
  if (next_is_number_or_word()) {
    sign_ = sign_unit<Unit>(token.word->sign);
  } else {
    emit_word(token);
  }
}

// "dollars" and the like after a number; else a word.
template <class Unit>
void NumberMachine<Unit>::take_unit(const Token& token) {
  if (kind_ == Kind::kNothing) return emit_word(token);
  sign_ = sign_unit<Unit>(token.word->sign);
  emit_number();
}

template <class Unit>
void NumberMachine<Unit>::take_per(const Token& token) {
  if (kind_ == Kind::kNothing) return emit_word(token);
  if (next_ != nullptr && next_->word != nullptr && next_->word->text == "cent") {
    emit_number("%");
    skip_ = true;
  } else {
    emit_number();
    emit_word(token);
  }
}

// Words that mean something only where a number may follow.
template <class Unit>
void NumberMachine<Unit>::take_special(const Token& token) {
  if (!next_is_number_or_word()) {
    emit_number_if_any();
    return emit_word(token);
  }
  switch (token.kind()) {
    case NumberWord::kRepeat: return take_repeat(token);
    case NumberWord::kPoint:
      if (next_is(NumberWord::kZero) || next_is(NumberWord::kOnes) || next_is(NumberWord::kTens) ||
          next_is_numeric()) {
        text_or_nothing();
        digits_ += Unit{'.'};
      }
      return;
    default:  // "two hundred and five"
      if (previous_is(NumberWord::kMultiplier)) return;
      emit_number_if_any();
      return emit_word(token);
  }
}

// "double oh seven"
template <class Unit>
void NumberMachine<Unit>::take_repeat(const Token& token) {
  if (!next_is(NumberWord::kOnes) && !next_is(NumberWord::kZero)) {
    emit_number_if_any();
    return emit_word(token);
  }
  text_or_nothing();
  for (int i = 0; i < token.word->value; ++i) append_number(digits_, next_->word->value);
  skip_ = true;
}

template <class Unit>
bool NumberMachine<Unit>::next_is_number_or_word() const {
  return next_ != nullptr && (next_->kind() != NumberWord::kNone || next_is_numeric());
}

template <class Unit>
bool NumberMachine<Unit>::next_is_numeric() const {
  return next_ != nullptr && next_->word == nullptr && is_numeric(next_->text);
}

// Of an integer: divisible by 10 or 100.
template <class Unit>
bool NumberMachine<Unit>::ends_with_zeros(std::size_t count) const {
  if (is_zero()) return true;
  return digits_.size() > count &&
         std::all_of(digits_.end() - static_cast<std::ptrdiff_t>(count), digits_.end(),
                     [](Unit c) { return c == Unit{'0'}; });
}

template <class Unit>
void NumberMachine<Unit>::set_integer(int value) {
  kind_ = Kind::kInteger;
  digits_.clear();
  append_number(digits_, value);
}

// Puts `value` in place of as many digits: of zeros, where it is an addition.
template <class Unit>
void NumberMachine<Unit>::replace_last(int value) {
  digits_.resize(digits_.size() - std::min<std::size_t>(digits_.size(), value < 10 ? 1 : 2));
  append_number(digits_, value);
}

template <class Unit>
void NumberMachine<Unit>::append_to_text(int value) {
  kind_ = Kind::kText;
  append_number(digits_, value);
}

// str(value or ""): the integer 0 counts as nothing.
template <class Unit>
void NumberMachine<Unit>::text_or_nothing() {
  if (kind_ == Kind::kNothing || is_zero()) digits_.clear();
  kind_ = Kind::kText;
}

// Of an integer: the last three digits are multiplied, the thousands stay.
template <class Unit>
void NumberMachine<Unit>::multiply(int power) {
  const std::size_t low = std::min<std::size_t>(digits_.size(), 3);
  Text residual = digits_.substr(digits_.size() - low);
  drop_leading_zeros(residual);
  if (residual[0] != Unit{'0'}) residual.append(static_cast<std::size_t>(power), Unit{'0'});
  if (digits_.size() == low) {
    digits_ = residual;
  } else {
    std::fill(digits_.end() - 3, digits_.end(), Unit{'0'});
    digits_ = sum_of<Unit>(digits_, residual);
  }
  require_length(digits_.size());
}

// By a power of ten, if that gives an integer: "2.5" million. The original reads it as a Fraction:
// digits with or without a point, one digit at least.
template <class Unit>
bool NumberMachine<Unit>::multiply_exactly(int power) {
  const View text = digits_;
  const std::size_t whole = digit_run(text, 0);
  const std::size_t decimals = whole < text.size() ? digit_run(text, whole + 1) : 0;
  const bool has_point = whole < text.size() && text[whole] == Unit{'.'};
  if (whole + decimals == 0 || whole + (has_point ? 1 : 0) + decimals != text.size()) return false;
  if (whole > kNumberDigitsMax || decimals > kNumberDigitsMax) return false;
  Text product;
  for (const Unit c : text) {
    const int digit = Alphabet<Unit>::decimal(c);
    if (digit >= 0) product += static_cast<Unit>('0' + digit);
  }
  std::size_t behind = decimals;  // digits behind the point
  for (; behind > 0 && product.back() == Unit{'0'}; --behind) product.pop_back();
  if (behind > static_cast<std::size_t>(power)) return false;
  product.append(static_cast<std::size_t>(power) - behind, Unit{'0'});
  drop_leading_zeros(product);
  kind_ = Kind::kInteger;
  digits_ = std::move(product);
  require_length(digits_.size());
  return true;
}

template <class Unit>
void NumberMachine<Unit>::require_length(std::size_t digits) {
  if (digits > kNumberDigitsMax) too_large_ = true;
}

template <class Unit>
void NumberMachine<Unit>::flush() {
  if (run_begin_ == run_end_) return;
  if (!out_.empty()) out_ += Unit{' '};
  out_ += source_.substr(run_begin_, run_end_ - run_begin_);
  run_begin_ = run_end_ = 0;
}

template <class Unit>
void NumberMachine<Unit>::begin_word() {
  flush();
  if (!out_.empty()) out_ += Unit{' '};
  if (sign_ != 0) out_ += sign_;
}

template <class Unit>
void NumberMachine<Unit>::emit_number(std::string_view suffix) {
  begin_word();
  out_ += digits_;
  append_ascii(out_, suffix);
  kind_ = Kind::kNothing;
  sign_ = 0;
}

template <class Unit>
void NumberMachine<Unit>::emit_word(const Token& token) {
  // With a sign before it, it is not the word that the spelling table has.
  const bool american = token.word != nullptr && !token.word->american.empty() && sign_ == 0;
  if (!american && sign_ == 0 && token.at != Token::kNowhere) {
    const bool goes_on =
        run_begin_ < run_end_ && token.at == run_end_ + 1 && source_[run_end_] == Unit{' '};
    if (!goes_on) {
      flush();
      run_begin_ = token.at;
    }
    run_end_ = token.at + token.text.size();
    return;
  }
  begin_word();
  if (american) {
    append_ascii(out_, token.word->american);
  } else {
    out_ += token.text;
  }
  sign_ = 0;
}

template class NumberMachine<char>;
template class NumberMachine<char32_t>;

}  // namespace strata::evaluator
