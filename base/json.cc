#include "base/json.h"

#define JSON_USE_IMPLICIT_CONVERSIONS 0
#include <nlohmann/json.hpp>

#include "base/assert.h"

namespace strata {
namespace {

// Builds a Value while nlohmann walks the text; it hands us a number's own spelling, so no digit is
// lost.
class Builder : public nlohmann::json_sax<nlohmann::json> {
 public:
  bool null() override { return put(Value()); }
  bool boolean(bool v) override { return put(Value(v)); }
  bool number_integer(number_integer_t v) override { return put(Value(std::int64_t{v})); }
  bool number_unsigned(number_unsigned_t v) override { return put(Value(std::uint64_t{v})); }
  bool number_float(number_float_t, const string_t& spelling) override {
    auto number = Number::parse(spelling);
    if (!number) return stop(number.error().message);
    return put(Value(std::move(*number)));
  }
  bool string(string_t& v) override { return put(Value(std::move(v))); }
  bool binary(binary_t&) override { return stop("binary data"); }
  bool start_object(std::size_t) override { return open(Value(Object{})); }
  bool start_array(std::size_t) override { return open(Value(Array{})); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool key(string_t& v) override {
    STRATA_ASSERT(!open_.empty());
    if (open_.back().value.if_object()->contains(v))
      return stop("the key \"" + v + "\" occurs twice");
    open_.back().key = std::move(v);
    return true;
  }
  bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception& e) override {
    // "[json.exception.parse_error.101] parse error at line 1, column 2: ..."
    const std::string_view what = e.what();
    const std::size_t place = what.find("line ");
    return stop(std::string(place == std::string_view::npos ? what : what.substr(place)));
  }

  Value result;
  std::string error;

 private:
  struct Open {
    Value value;
    std::string key;
  };
  bool stop(std::string why) {
    if (error.empty()) error = std::move(why);
    return false;
  }
  bool open(Value value) {
    if (open_.size() >= static_cast<std::size_t>(kJsonDepthMax))
      return stop(fmt::format("nested deeper than {}", kJsonDepthMax));
    open_.push_back({std::move(value), {}});
    return true;
  }
  bool close() {
    Value done = std::move(open_.back().value);
    open_.pop_back();
    return put(std::move(done));
  }
  bool put(Value value) {
    if (open_.empty()) {
      result = std::move(value);
    } else if (Array* array = open_.back().value.if_array()) {
      array->push_back(std::move(value));
    } else {
      open_.back().value.if_object()->emplace(std::move(open_.back().key), std::move(value));
    }
    return true;
  }
  std::vector<Open> open_;
};

void write_string(std::string& out, std::string_view text) {
  out += '"';
  for (const char c : text) {
    const auto u = static_cast<unsigned char>(c);
    switch (c) {
      case '"': out += "\\\""; break;
      case '\\': out += "\\\\"; break;
      case '\n': out += "\\n"; break;
      case '\r': out += "\\r"; break;
      case '\t': out += "\\t"; break;
      default:
        if (u < 0x20) {
          out += fmt::format("\\u{:04x}", u);
        } else {
          out += c;
        }
    }
  }
  out += '"';
}

// indent < 0: canonical, no white space at all.
void write(std::string& out, const Value& value, int indent) {
  const auto line = [&](int depth) {
    if (indent >= 0) out += "\n" + std::string(static_cast<std::size_t>(2 * depth), ' ');
  };
  if (value.is_null()) {
    out += "null";
  } else if (const bool* b = value.if_bool()) {
    out += *b ? "true" : "false";
  } else if (const Number* number = value.if_number()) {
    out += number->text();
  } else if (const std::string* text = value.if_string()) {
    write_string(out, *text);
  } else if (const Array* array = value.if_array()) {
    const bool flat = indent < 0 || std::none_of(array->begin(), array->end(), [](const Value& v) {
                        return v.if_array() != nullptr || v.if_object() != nullptr;
                      });
    out += '[';
    for (std::size_t i = 0; i < array->size(); ++i) {
      if (i > 0) out += flat && indent >= 0 ? ", " : ",";
      if (!flat) line(indent + 1);
      write(out, (*array)[i], indent < 0 ? -1 : indent + 1);
    }
    if (!flat) line(indent);
    out += ']';
  } else {
    const Object& object = *value.if_object();
    out += '{';
    bool first = true;
    for (const auto& [key, item] : object) {
      if (!first) out += ',';
      first = false;
      line(indent + 1);
      write_string(out, key);
      out += indent < 0 ? ":" : ": ";
      write(out, item, indent < 0 ? -1 : indent + 1);
    }
    if (!object.empty()) line(indent);
    out += '}';
  }
}

}  // namespace

Result<Value> parse_json(std::string_view text) {
  Builder builder;
  bool parsed = false;
  try {
    parsed = nlohmann::json::sax_parse(text.begin(), text.end(), &builder);
  } catch (const nlohmann::json::exception& e) {
    return fail(ErrorCode::kInvalid, "JSON: {}", e.what());
  }
  if (!parsed) return fail(ErrorCode::kInvalid, "JSON: {}", builder.error);
  return std::move(builder.result);
}

Result<Value> parse_program_json(std::string_view text) {
  if (text.find("NaN") == std::string_view::npos && text.find("Infinity") == std::string_view::npos)
    return parse_json(text);
  std::string quoted;
  bool in_text = false;
  for (std::size_t at = 0; at < text.size();) {
    std::size_t length = 1;
    if (in_text && text[at] == '\\') {
      length = 2;
    } else if (text[at] == '"') {
      in_text = !in_text;
    } else if (!in_text) {
      for (const std::string_view word : {"NaN", "Infinity", "-Infinity"}) {
        if (text.substr(at).starts_with(word)) length = word.size();
      }
    }
    const std::string_view part = text.substr(at, length);
    quoted += !in_text && length > 1 ? fmt::format("\"{}\"", part) : std::string(part);
    at += part.size();
  }
  return parse_json(quoted);
}

std::string to_canonical_json(const Value& value) {
  std::string out;
  write(out, value, -1);
  return out;
}

std::string to_pretty_json(const Value& value) {
  std::string out;
  write(out, value, 0);
  out += '\n';
  return out;
}

}  // namespace strata
