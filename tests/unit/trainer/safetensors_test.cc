#include "trainer/safetensors.h"

#include <gtest/gtest.h>

#include "base/files.h"
#include "base/random.h"
#include "base/torch/torch.h"
#include "trainer/tensor_file.h"

namespace strata::trainer {
namespace {

std::string with_header(const std::string& header, const std::string& data) {
  std::string file;
  for (std::size_t i = 0; i < 8; ++i) file += static_cast<char>((header.size() >> (8 * i)) & 0xFF);
  return file + header + data;
}

TEST(Safetensors, TheBytesAreThoseOfTheFormat) {
  const std::string bytes("\x00\x00\x80\x3f", 4);
  const std::string file = format_safetensors({{"a", {"F32", {1}, bytes}}});
  const std::string header = R"({"a":{"data_offsets":[0,4],"dtype":"F32","shape":[1]}})";
  EXPECT_EQ(file.substr(8, header.size()), header);
  EXPECT_EQ(static_cast<unsigned char>(file[0]) % 8, 0);
  EXPECT_EQ(file.substr(file.size() - 4), bytes);
}

TEST(Safetensors, AnEntryOutsideOfTheDataIsRefusedByName) {
  const auto parsed = parse_safetensors(
      with_header(R"({"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", "1234"));
  ASSERT_FALSE(parsed.has_value());
  EXPECT_EQ(parsed.error().code, ErrorCode::kDamaged);
  EXPECT_NE(parsed.error().message.find("tensor w"), std::string::npos);
}

TEST(Safetensors, AShapeThatDoesNotFitItsBytesIsRefused) {
  EXPECT_FALSE(parse_safetensors(
      with_header(R"({"w":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}})", "1234")));
  EXPECT_FALSE(parse_safetensors(with_header(
      R"({"w":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]}})", "")));
  EXPECT_FALSE(parse_safetensors(
      with_header(R"({"w":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}})", "1234")));
}

TEST(Safetensors, EveryByteBelongsToOneTensor) {
  const auto refusal = [](const char* header, const char* data) {
    const auto parsed = parse_safetensors(with_header(header, data));
    return parsed ? std::string("read") : parsed.error().message;
  };
  constexpr const char* kBoth =
      R"({{"b":{{"dtype":"U8","shape":[{}],"data_offsets":[{},{}]}},"a":{{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}}})";
  EXPECT_EQ(refusal(fmt::format(kBoth, 2, 2, 4).c_str(), "1234"), "read");
  EXPECT_EQ(refusal(fmt::format(kBoth, 0, 2, 2).c_str(), "12"), "read");
  EXPECT_EQ(refusal(fmt::format(kBoth, 2, 1, 3).c_str(), "123"),
            "tensor b: its bytes are another one's too");
  EXPECT_EQ(refusal(fmt::format(kBoth, 1, 3, 4).c_str(), "1234"),
            "tensor b: its bytes follow a gap");
  EXPECT_EQ(refusal(fmt::format(kBoth, 2, 2, 4).c_str(), "12345"),
            "safetensors: 1 bytes after the last tensor");
}

TEST(Safetensors, ABoolIsZeroOrOne) {
  const std::string header = R"({"w":{"dtype":"BOOL","shape":[2],"data_offsets":[0,2]}})";
  EXPECT_TRUE(parse_safetensors(with_header(header, std::string("\0\1", 2))));
  EXPECT_FALSE(parse_safetensors(with_header(header, std::string("\0\2", 2))));
}

TEST(Safetensors, AHeaderLongerThanTheFileIsRefused) {
  EXPECT_FALSE(parse_safetensors(std::string("\xff\x00\x00\x00\x00\x00\x00\x00{}", 10)));
  EXPECT_FALSE(parse_safetensors(std::string(8, '\xff')));
  EXPECT_FALSE(parse_safetensors(""));
}

TEST(Safetensors, AnyChangedOrCutFileIsReadOrRefusedButNeverOverrun) {
  const std::string data(48, 'x');
  const std::string whole =
      format_safetensors({{"a", {"F32", {2, 3}, std::string_view(data).substr(0, 24)}},
                          {"b", {"I64", {3}, std::string_view(data).substr(24)}}});
  Random random(7);
  for (int round = 0; round < 4000; ++round) {
    std::string file = whole.substr(0, random.bounded(whole.size() + 1));
    for (std::uint64_t change = random.bounded(3); change > 0 && !file.empty(); --change) {
      file[random.bounded(file.size())] = static_cast<char>(random.next());
    }
    const auto parsed = parse_safetensors(file);
    if (!parsed) continue;
    for (const auto& [name, tensor] : *parsed) {
      EXPECT_GE(tensor.bytes.data(), file.data());
      EXPECT_LE(tensor.bytes.data() + tensor.bytes.size(), file.data() + file.size());
    }
  }
}

TEST(TensorFile, TensorsOfEveryTypeComeBackAsTheyWere) {
  auto folder = make_temporary_folder("/tmp", "strata-tensors-");
  ASSERT_TRUE(folder.has_value());
  NamedTensors tensors{{"a", torch::randn({2, 3})},
                       {"b", torch::randn({4}, torch::kDouble)},
                       {"c", torch::arange(6).reshape({3, 2}).t()},  // not contiguous
                       {"d", torch::zeros({0, 5})},
                       {"e", torch::ones({2}, torch::kBool)}};
  ASSERT_TRUE(write_tensors(*folder / "t.safetensors", tensors, {{"made by", "a test"}}));
  std::map<std::string, std::string> metadata;
  const auto back = read_tensors(*folder / "t.safetensors", &metadata);
  ASSERT_TRUE(back.has_value());
  ASSERT_EQ(back->size(), tensors.size());
  for (const auto& [name, tensor] : tensors)
    EXPECT_TRUE(torch::equal(back->at(name), tensor)) << name;
  EXPECT_EQ(metadata.at("made by"), "a test");
  std::filesystem::remove_all(*folder);
}

}  // namespace
}  // namespace strata::trainer
