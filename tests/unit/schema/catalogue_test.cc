#include "schema/catalogue.h"

#include <gtest/gtest.h>

#include "base/files.h"

namespace strata {
namespace {

std::string error_of(const std::string& text) {
  const auto catalogue = parse_catalogue(text, "c.json");
  return catalogue ? "no error" : catalogue.error().message;
}

TEST(Catalogue, TheShippedOneHasTheModelsOfThePipeline) {
  const auto text = read_file(STRATA_SOURCE_DIR "/tools/export/catalogue.json");
  ASSERT_TRUE(text) << text.error().message;
  const auto catalogue = parse_catalogue(*text, "catalogue.json");
  ASSERT_TRUE(catalogue) << catalogue.error().message;
  for (const char* name :
       {"whisper-base", "whisper-tiny-en-encoder", "ge2e", "distill-mos", "hifigan-universal",
        "griffin-lim-vocos", "griffin-lim-bigvgan", "griffin-lim-hifigan", "vocos-mel-24khz"}) {
    ASSERT_NE(catalogue->find(name), nullptr) << name;
    EXPECT_EQ(catalogue->find(name)->identity.size(), 64U);
  }
  // As tools/export/catalogue.py computes it: an export and a key must mean the same model.
  EXPECT_EQ(catalogue->find("ge2e")->identity,
            "eaa12f00aedc41e67e515119545541cb342f476d5a89a2fcf9e735eff81fd398");
  EXPECT_EQ(catalogue->find("whisper-base")->identity,
            "4490d123bc893e3f2a111f2fb4bfb13d73672c19b8c931e1c638c2d090f19b37");
}

TEST(Catalogue, SaysWhatIsWrong) {
  EXPECT_TRUE(error_of("{").starts_with("c.json: JSON: ")) << error_of("{");
  EXPECT_EQ(error_of(R"({"models": []})"),
            "c.json: \"catalogue\": 1 expected: this is no catalogue of models, or one of another "
            "version");
  EXPECT_EQ(error_of(R"({"catalogue": 1})"), "c.json: models must be a list");
  EXPECT_EQ(error_of(R"({"catalogue": 1, "models": [{}]})"), "c.json: a model without a name");
  EXPECT_EQ(
      error_of(
          R"({"catalogue": 1, "models": [{"name": "m", "role": "r", "family": "f", "exporter_version": 1, "settings": {},
                     "sources": [{"sha256": "12"}]}]})"),
      "c.json: model m: every source needs a sha256 of 64 hex digits");
  EXPECT_EQ(
      error_of(
          R"({"catalogue": 1, "models": [{"name": "m", "role": "r", "family": "f", "exporter_version": 1, "settings": {},
                     "interface": "r-1", "sources": []}]})"),
      "c.json: model m: only what is built in has no sources");
}

}  // namespace
}  // namespace strata
