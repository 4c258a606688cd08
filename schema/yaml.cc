#include "schema/yaml.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <map>
#include <optional>
#include <sstream>

#include "base/utf8.h"

namespace strata {
namespace {

bool looks_like_number(std::string_view text) {
  if (text.empty()) return false;
  if (text.front() == '-' || text.front() == '+') text.remove_prefix(1);
  if (!text.empty() && text.front() == '.') text.remove_prefix(1);
  return !text.empty() && text.front() >= '0' && text.front() <= '9';
}

bool equal_ignoring_case(std::string_view a, std::string_view b) {
  const auto lower = [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  };
  return std::ranges::equal(a, b, {}, lower, lower);
}

// 0x1F, 0o17, 0b1, 1_000: numbers in other languages, and texts here would surprise as much as
// numbers.
bool is_foreign_number(std::string_view text) {
  if (!text.empty() && (text.front() == '-' || text.front() == '+')) text.remove_prefix(1);
  if (text.size() > 2 && text[0] == '0' && (text[1] == 'x' || text[1] == 'o' || text[1] == 'b')) {
    return text.find_first_not_of("0123456789abcdefABCDEF", 2) == std::string_view::npos;
  }
  return looks_like_number(text) && text.find('_') != std::string_view::npos &&
         text.find_first_not_of("0123456789_.") == std::string_view::npos;
}

Result<Value> plain_scalar(const std::string& text) {
  if (text.empty()) return Value();  // the other spellings of null come as OnNull
  if (text == "true") return Value(true);
  if (text == "false") return Value(false);
  for (const std::string_view word : {"true", "false"}) {
    if (equal_ignoring_case(text, word)) {
      return fail(ErrorCode::kInvalid, "{} is ambiguous: write {}, or quote it if it is a text",
                  text, word);
    }
  }
  for (const std::string_view word : {".inf", "-.inf", "+.inf", ".nan"}) {
    if (equal_ignoring_case(text, word))
      return fail(ErrorCode::kInvalid, "{} is no decimal number: quote it if it is a text", text);
  }
  if (is_foreign_number(text)) {
    return fail(ErrorCode::kInvalid,
                "{} is ambiguous: write a decimal number, or quote it if it is a text",
                text.substr(0, 80));
  }
  if (!looks_like_number(text)) return Value(text);
  if (text.find_first_not_of("0123456789+-.eE") != std::string::npos) return Value(text);
  if (text.size() > kYamlNumberBytesMax) {
    return fail(ErrorCode::kTooLarge, "a number of {} characters: at most {} are read", text.size(),
                kYamlNumberBytesMax);
  }
  auto number = Number::parse(text);
  if (!number && number.error().code == ErrorCode::kTooLarge)
    return fail(ErrorCode::kTooLarge, "{}", number.error().message);
  if (!number) return Value(text);  // 1.6.1-1, 2026-11-22
  if (!std::isfinite(number->to_double())) {
    return fail(ErrorCode::kTooLarge, "{} is beyond what programs compute with (1.8e308)", text);
  }
  return Value(std::move(*number));
}

// Builds the tree from the parser's events. After the first error it only waits for the end.
class TreeBuilder : public YAML::EventHandler {
 public:
  TreeBuilder(std::string_view file_name, int file_number)
      : file_name_(file_name), file_number_(file_number) {}

  [[nodiscard]] const std::optional<Error>& error() const { return error_; }
  YamlNode take_root() { return std::move(root_); }

  [[nodiscard]] int begins_in_line() const { return begins_in_line_; }

  void OnDocumentStart(const YAML::Mark& mark) override { begins_in_line_ = position(mark).line; }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    YamlNode node;
    node.at = position(mark);
    put(std::move(node), anchor);
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const auto it = anchors_.find(anchor);
    if (it == anchors_.end())
      return fail_at(position(mark), "this alias stands inside the value that it names");
    if (error_) return;
    if (nodes_ + it->second.size > kYamlNodesMax)  // before it is copied
      return fail_at(position(mark), fmt::format("more than {} values", kYamlNodesMax));
    YamlNode copy = it->second.node;
    nodes_ += it->second.size;
    put(std::move(copy), 0, it->second.size);
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& text) override {
    YamlNode node;
    node.at = position(mark);
    node.quoted = tag == "!";
    if (tag == "!model") {
      node.kind = YamlKind::kModel;
      node.scalar = text;
    } else if (node.quoted || at_key()) {
      if (!node.quoted && !tag.empty() && tag != "?") return refuse_tag(node.at, tag);
      if (!node.quoted && text == "<<")
        return fail_at(node.at,
                       "merge keys (<<) are not part of this language: write the values out");
      node.scalar = text;
    } else if (tag.empty() || tag == "?") {
      auto value = plain_scalar(text);
      if (!value) return fail_at(node.at, value.error().message);
      node.scalar = std::move(*value);
    } else {
      return refuse_tag(node.at, tag);
    }
    put(std::move(node), anchor);
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    open(YamlKind::kList, mark, tag, anchor);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    open(YamlKind::kMap, mark, tag, anchor);
  }
  void OnMapEnd() override { close(); }

  void fail_at(YamlPosition at, std::string_view what) {
    if (error_) return;
    error_ = Error{ErrorCode::kInvalid,
                   fmt::format("{}:{}:{}: {}", file_name_, at.line, at.column, what)};
    open_.clear();
  }

 private:
  struct Open {
    YamlNode node{};
    YAML::anchor_t anchor = 0;
    std::size_t nodes_before = 0;
    std::map<std::string, YamlPosition> keys{};
    bool value_next = false;  // of a map: the key has been read
  };
  struct Anchored {
    YamlNode node{};
    std::size_t size = 0;
  };

  [[nodiscard]] YamlPosition position(const YAML::Mark& mark) const {
    return {file_number_, mark.line < 0 ? 1 : mark.line + 1, mark.column < 0 ? 1 : mark.column + 1};
  }
  [[nodiscard]] bool at_key() const {
    return !open_.empty() && open_.back().node.kind == YamlKind::kMap && !open_.back().value_next;
  }
  void refuse_tag(YamlPosition at, const std::string& tag) {
    fail_at(at, fmt::format("unknown tag {}: the only one is !model NAME", tag));
  }

  void open(YamlKind kind, const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor) {
    if (error_) return;
    const YamlPosition at = position(mark);
    if (!tag.empty() && tag != "?" && tag != "!") return refuse_tag(at, tag);
    if (at_key()) return fail_at(at, "a key must be a text");
    if (open_.size() >= static_cast<std::size_t>(kYamlDepthMax)) {
      return fail_at(at, fmt::format("nested deeper than {} levels", kYamlDepthMax));
    }
    open_.push_back({});
    open_.back().node.kind = kind;
    open_.back().node.at = at;
    open_.back().anchor = anchor;
    open_.back().nodes_before = nodes_;
  }

  void close() {
    if (error_ || open_.empty()) return;
    Open done = std::move(open_.back());
    open_.pop_back();
    const std::size_t size = nodes_ - done.nodes_before;
    put(std::move(done.node), done.anchor, size + 1);
  }

  // A finished node goes into what is open around it; `size` counts it with all below it.
  void put(YamlNode node, YAML::anchor_t anchor, std::size_t size = 1) {
    if (error_) return;
    if (++nodes_ > kYamlNodesMax)
      return fail_at(node.at, fmt::format("more than {} values", kYamlNodesMax));
    if (anchor != 0) anchors_[anchor] = {node, size};
    if (open_.empty()) {
      root_ = std::move(node);
      return;
    }
    Open& around = open_.back();
    if (around.node.kind == YamlKind::kList) {
      around.node.items.push_back(std::move(node));
    } else if (around.value_next) {
      around.node.entries.back().value = std::move(node);
      around.value_next = false;
    } else {
      put_key(around, node);
    }
  }

  void put_key(Open& map, const YamlNode& node) {
    const std::string* key = node.kind == YamlKind::kScalar ? node.scalar.if_string() : nullptr;
    if (key == nullptr) return fail_at(node.at, "a key must be a text");
    const auto [before, is_new] = map.keys.emplace(*key, node.at);
    if (!is_new) {
      return fail_at(
          node.at, fmt::format("the key {} stands here for the second time; the first is at {}:{}",
                               *key, before->second.line, before->second.column));
    }
    map.node.entries.push_back({*key, node.at, {}});
    map.value_next = true;
  }

  std::string file_name_;
  int file_number_;
  std::optional<Error> error_{};
  std::vector<Open> open_{};
  std::map<YAML::anchor_t, Anchored> anchors_{};
  std::size_t nodes_ = 0;
  int begins_in_line_ = 1;
  YamlNode root_{};
};

// yaml-cpp guesses UTF-16 from zero bytes and accepts control characters; neither belongs in a text
// file of ours.
Status check_bytes(std::string_view text, std::string_view file_name) {
  if (text.size() > kYamlBytesMax) {
    return fail(ErrorCode::kTooLarge, "{}: {} bytes, at most {} are read", file_name, text.size(),
                kYamlBytesMax);
  }
  if (!is_valid_utf8(text))
    return fail(ErrorCode::kInvalid, "{}:1:1: the file is not UTF-8 text", file_name);
  int line = 1;
  int column = 1;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte < 0x20 && c != '\n' && c != '\t' && c != '\r') || byte == 0x7f) {
      return fail(ErrorCode::kInvalid, "{}:{}:{}: control character {:#04x}", file_name, line,
                  column, byte);
    }
    column = c == '\n' ? 1 : column + 1;
    if (c == '\n') ++line;
  }
  return {};
}

// The last one up to a line. The parser stumbles over it there or in the next line, over something
// else.
std::optional<YamlPosition> indenting_tab(std::string_view text, int last_line) {
  std::optional<YamlPosition> found;
  YamlPosition at{.line = 1, .column = 1};
  bool indenting = true;
  for (const char c : text) {
    if (at.line > last_line) break;
    if (c == '\t' && indenting) found = at;
    indenting = c == '\n' || (indenting && c == ' ');
    at.column = c == '\n' ? 1 : at.column + 1;
    if (c == '\n') ++at.line;
  }
  return found;
}

}  // namespace

const YamlNode* YamlNode::find(std::string_view key) const {
  const auto it = std::ranges::find(entries, key, &YamlEntry::key);
  return it == entries.end() ? nullptr : &it->value;
}

const char* YamlNode::kind_name() const {
  switch (kind) {
    case YamlKind::kScalar: return scalar.if_string() != nullptr ? "text" : scalar.kind();
    case YamlKind::kModel: return "model";
    case YamlKind::kList: return "list";
    case YamlKind::kMap: return "map";
  }
  return "";
}

Result<YamlNode> parse_yaml(std::string_view text, std::string_view file_name, int file_number) {
  STRATA_CHECK_OK(check_bytes(text, file_name));
  TreeBuilder builder(file_name, file_number);
  try {
    std::istringstream stream{std::string(text)};
    YAML::Parser parser(stream);
    parser.HandleNextDocument(builder);
    YamlNode root = builder.take_root();
    if (builder.error()) return tl::unexpected(*builder.error());
    TreeBuilder second(file_name, file_number);
    if (parser.HandleNextDocument(second)) {
      return fail(ErrorCode::kInvalid, "{}:{}:1: a second document (after ---); one is read",
                  file_name, second.begins_in_line());
    }
    return root;
  } catch (const YAML::Exception& e) {
    if (builder.error()) return tl::unexpected(*builder.error());
    const bool known = !e.mark.is_null();
    const int line = known ? e.mark.line + 1 : std::numeric_limits<int>::max();
    if (const auto tab = indenting_tab(text, line); tab && (!known || tab->line + 1 >= line)) {
      return fail(ErrorCode::kInvalid,
                  "{}:{}:{}: no valid YAML: the line is indented with a tab, YAML takes spaces",
                  file_name, tab->line, tab->column);
    }
    return fail(ErrorCode::kInvalid, "{}:{}:{}: no valid YAML: {}", file_name,
                known ? e.mark.line + 1 : 1, known ? e.mark.column + 1 : 1, e.msg);
  } catch (const std::exception& e) {
    return fail(ErrorCode::kInternal, "{}: reading YAML: {}", file_name, e.what());
  }
}

}  // namespace strata
