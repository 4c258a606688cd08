// Golden values of the tiny model, measured on the reference implementations in float64
// (docs/models.md says how). Tables of sines differ in the last float32 digit between libraries, so
// losses agree to 1e-6, not to 1e-9.
#include "trainer/probe.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/json.h"

namespace strata::trainer {
namespace {

constexpr double kTolerance = 1e-6;
// One value alone: the angle 1000 * t * omega carries a float32 rounding of omega, up to 1.8e-5 at
// t = 0.3.
constexpr double kOneValue = 5e-6;

constexpr const char* kAlign =
    R"("align": {"text": {"layer": 2}, "speech": {"layer": 3, "width": 24}, "hidden": 32})";
constexpr const char* kUpsampled = R"("text_mask_padding": true, "average_upsampling": true)";
constexpr const char* kSwitches = R"("text_mask_padding": true, "pe_attn_heads": null)";

Value run(const std::string& request) {
  const auto parsed = parse_json(request);
  EXPECT_TRUE(parsed.has_value());
  auto report = probe(*parsed);
  EXPECT_TRUE(report.has_value()) << (report ? "" : report.error().message);
  return report ? *report : Value();
}

double number(const Value& report, std::initializer_list<std::string> path) {
  const Value* at = &report;
  for (const std::string& key : path) {
    const Object* object = at->if_object();
    if (object == nullptr || !object->contains(key)) return std::nan("");
    at = &object->at(key);
  }
  return at->to_double().value_or(std::nan(""));
}

void expect_losses(const Value& report, double total, double cfm, double speech, double ctc,
                   double norm) {
  EXPECT_NEAR(number(report, {"loss", "total"}), total, kTolerance);
  EXPECT_NEAR(number(report, {"loss", "cfm"}), cfm, kTolerance);
  EXPECT_NEAR(number(report, {"loss", "speech"}), speech, kTolerance);
  EXPECT_NEAR(number(report, {"loss", "text"}), ctc, kTolerance);
  EXPECT_NEAR(number(report, {"grad_norm"}), norm, 3 * kTolerance);
}

// A sum of many values is compared on the scale of the sum of their magnitudes.
void expect_tensor(const Value& report, const std::string& name, double sum, double l1) {
  EXPECT_NEAR(number(report, {"tensors", name, "sum"}), sum, kTolerance * l1) << name;
  EXPECT_NEAR(number(report, {"tensors", name, "l1"}), l1, kTolerance * l1) << name;
}

void expect_first(const Value& report, const std::string& name, double first, double second) {
  const Value* values = report.find("tensors." + name + ".first");
  ASSERT_NE(values, nullptr) << name;
  EXPECT_NEAR((*values->if_array())[0].to_double().value(), first, kOneValue) << name;
  EXPECT_NEAR((*values->if_array())[1].to_double().value(), second, kOneValue) << name;
}

TEST(Probe, LossesAndGradientsAreThoseOfTheReference) {
  const Value report = run(fmt::format(R"({{"model": "dit", {}}})", kAlign));
  expect_losses(report, 2.7575032434, 2.3107365336, 0.0052492626, 4.4151744718, 3.66756583);
  EXPECT_EQ(number(report, {"parameters"}), 305352);
  EXPECT_NEAR(number(report, {"gradients", "backbone.text_embed.text_embed.weight"}), 0.1320516366,
              kTolerance);
  EXPECT_NEAR(number(report, {"gradients", "backbone.transformer_blocks.0.attn.to_q.weight"}),
              0.0730146570, kTolerance);
  EXPECT_NEAR(number(report, {"gradients", "backbone.proj_out.weight"}), 1.3731526890, kTolerance);
  EXPECT_NEAR(number(report, {"gradients", "backbone.input_embed.conv_pos_embed.conv1d.0.weight"}),
              0.4513967121, kTolerance);
}

TEST(Probe, EveryIntermediateValueIsThatOfTheReference) {
  const Value report = run(fmt::format(R"({{"model": "dit", {}}})", kAlign));
  expect_tensor(report, "time", 0.1312382248, 33.4872512152);
  expect_tensor(report, "text", 75.7555546237, 979.3239632632);
  expect_tensor(report, "input", 161.0350903684, 2671.7171711871);
  expect_tensor(report, "block1", 164.8448794427, 2699.7069049384);
  expect_tensor(report, "block2", 122.5267445426, 2707.6669623107);
  expect_tensor(report, "block3", 161.2582732824, 2764.5507393631);
  expect_tensor(report, "block4", 147.9845754186, 2808.7788306118);
  expect_tensor(report, "text_logits", 9.1697741265, 172.4012197888);
  expect_tensor(report, "speech_projection", 101.3570578180, 483.9306781416);
  expect_tensor(report, "cond", 8.5532434435, 130.2207240271);
  expect_tensor(report, "pred", -281.6815050594, 1197.0353346340);
  expect_first(report, "time", 0.1811518793, -0.0578661520);
  expect_first(report, "text", 1.5849029324, 1.4053472012);
  expect_first(report, "input", 0.1307069771, -0.2320284194);
  expect_first(report, "block1", -0.0412836992, -0.1630479011);
  expect_first(report, "text_logits", 0.4657244170, -0.2294435700);
  expect_first(report, "speech_projection", -0.0032093050, 0.5304501439);
  expect_first(report, "pred", -0.3342545775, 1.1837878794);
}

TEST(Probe, DroppingTextAndAudioGivesTheReferenceLosses) {
  expect_losses(run(fmt::format(R"({{"model": "dit", "drop": "both", {}}})", kAlign)), 2.7758576240,
                2.3218198530, 0.0094374951, 4.4460027586, 3.75669847);
}

TEST(Probe, MaskedTextPaddingAndAllHeadsRotatedGiveTheReferenceLosses) {
  const Value report = run(fmt::format(R"({{"model": "dit", {}, {}}})", kSwitches, kAlign));
  expect_losses(report, 2.6696316039, 2.2698924682, -0.0208454011, 4.2058453676, 3.42667051);
  expect_tensor(report, "text", 1.9792225735, 203.0590474038);
  expect_tensor(report, "pred", -308.3124328433, 1161.0970914854);
}

TEST(Probe, EverySpeechLossHasTheReferenceValue) {
  const auto speech = [](const char* loss, const std::string& switches) {
    return number(
        run(fmt::format(R"({{"model": "dit"{}, "align": {{"text": {{"layer": 2}}, "hidden": 32,
      "speech": {{"layer": 3, "width": 24, "loss": "{}"}}}}}})",
                        switches, loss)),
        {"loss", "speech"});
  };
  EXPECT_NEAR(speech("neg_cosine", ""), 0.0052492626, kTolerance);
  EXPECT_NEAR(speech("neg_log_sigmoid", ""), 0.7010245789, kTolerance);
  EXPECT_NEAR(speech("l1", ""), 0.7605307154, kTolerance);
  const std::string switches = std::string(", ") + kSwitches;
  EXPECT_NEAR(speech("neg_cosine", switches), -0.0208454011, kTolerance);
  EXPECT_NEAR(speech("neg_log_sigmoid", switches), 0.6876622364, kTolerance);
  EXPECT_NEAR(speech("l1", switches), 0.7532650019, kTolerance);
}

TEST(Probe, WithoutHeadsTheBackboneIsThatOfThePlainReference) {
  const Value plain = run(R"({"model": "dit"})");
  EXPECT_EQ(number(plain, {"parameters"}), 285348);
  EXPECT_NEAR(number(plain, {"loss", "total"}), 2.3107365336, kTolerance);
  EXPECT_NEAR(number(plain, {"grad_norm"}), 3.45240675, 3 * kTolerance);
  EXPECT_EQ(plain.find("gradients")->if_object()->size(), 91U);
  EXPECT_NEAR(number(run(fmt::format(R"({{"model": "dit", {}}})", kSwitches)), {"grad_norm"}),
              3.12493315, 3 * kTolerance);
}

TEST(Probe, UnettGivesTheReferenceLossAndPrediction) {
  const Value report = run(R"({"model": "unett"})");
  EXPECT_EQ(number(report, {"parameters"}), 257904);
  EXPECT_EQ(report.find("gradients")->if_object()->size(), 72U);
  EXPECT_NEAR(number(report, {"loss", "total"}), 2.5586558650, kTolerance);
  EXPECT_NEAR(number(report, {"grad_norm"}), 13.95337505, 3 * kTolerance);
  expect_tensor(report, "pred", 158.0706364407, 1343.4292735939);
  expect_first(report, "pred", 0.6893030158, -0.1037303555);
  EXPECT_EQ(number(run(R"({"model": "unett", "skip": "add"})"), {"parameters"}), 241520);
}

// F5-TTS since 2025-06, as measured at 2ae2c9b: there are no heads in it.
TEST(Probe, TheMasksOfLaterGenerationsGiveTheirLosses) {
  const Value dit = run(R"({"model": "dit", "masks": "upstream"})");
  EXPECT_NEAR(number(dit, {"loss", "total"}), 2.3155044946, kTolerance);
  EXPECT_NEAR(number(dit, {"grad_norm"}), 3.47581314, 3 * kTolerance);
  const Value unett = run(R"({"model": "unett", "masks": "upstream"})");
  EXPECT_NEAR(number(unett, {"loss", "total"}), 2.4907216225, kTolerance);
  EXPECT_NEAR(number(unett, {"grad_norm"}), 12.68385835, 3 * kTolerance);
}

// What A-DMA has no code for: heads on the backbone of E2-TTS, and on later generations. Measured
// on the models of f5-tts 1.1.22 in float64, with heads of ours on their blocks
// (tests/bench/peers/f5_tts_probe.py).
TEST(Probe, HeadsOnEveryBackboneGiveTheLossesOfThePackagesModels) {
  const auto with_heads = [](const char* model) {
    return run(fmt::format(R"({{{}, {}}})", model, kAlign));
  };
  const Value unett = with_heads(R"("model": "unett")");
  EXPECT_EQ(number(unett, {"parameters"}), 277908);
  expect_losses(unett, 2.8564214158, 2.5586558650, -0.1077987000, 4.0556425084, 14.48344624);
  expect_losses(with_heads(R"("model": "unett", "drop": "both")"), 2.8973478318, 2.6078227153,
                -0.1266416123, 4.1616672876, 14.76265368);
  expect_losses(with_heads(R"("model": "unett", "skip": "add")"), 2.6437902822, 2.2018469111,
                0.0047042884, 4.3723908270, 5.07868598);
  expect_losses(with_heads(R"("model": "unett", "skip": "none")"), 2.6281771257, 2.1816430419,
                0.0092950010, 4.3723908270, 7.96530608);
  expect_losses(with_heads(R"("model": "unett", "masks": "upstream")"), 2.7888984143, 2.4907216225,
                -0.1122037500, 4.1038054185, 12.96394887);
  expect_losses(with_heads(R"("model": "dit", "masks": "upstream")"), 2.7558441081, 2.3155044946,
                0.0020790639, 4.3826054960, 3.69131984);
  expect_losses(with_heads(R"("model": "dit", "masks": "upstream", "attention_mask": true)"),
                2.7530653615, 2.3111209024, 0.0039425591, 4.3800189994, 3.66446642);
  expect_losses(with_heads(R"("model": "dit", "drop": "audio")"), 2.7731154744, 2.3165938805,
                0.0108494410, 4.4567215300, 3.68008620);
  const Value skips = with_heads(R"("model": "dit", "long_skip": true)");
  EXPECT_EQ(number(skips, {"parameters"}), 313544);
  expect_losses(skips, 2.8423315245, 2.3481204876, -0.0169601503, 5.1117118721, 3.71412116);
}

// Of f5-tts 1.1.22 on torch 2.13, with F.rms_norm (f5_tts_package.py says why).
TEST(Probe, NormedQueriesAndKeysGiveTheLossesOfThePackagesModels) {
  const auto normed = [](const char* model) {
    return run(fmt::format(R"({{{}, "qk_norm": "rms_norm", {}}})", model, kAlign));
  };
  const Value dit = normed(R"("model": "dit")");
  EXPECT_EQ(number(dit, {"parameters"}), 305608);
  expect_losses(dit, 2.8131395068, 2.4619169311, -0.0298823403, 3.8110491605, 5.19782169);
  expect_tensor(dit, "pred", 190.1609180350, 1234.1744636853);
  const std::string attention = "backbone.transformer_blocks.0.attn.";
  EXPECT_NEAR(number(dit, {"gradients", attention + "q_norm.weight"}), 0.0147887298, kTolerance);
  EXPECT_NEAR(number(dit, {"gradients", attention + "k_norm.weight"}), 0.0156349128, kTolerance);
  expect_losses(normed(R"("model": "dit", "masks": "upstream")"), 2.8030592373, 2.4459999458,
                -0.0193266082, 3.7638589972, 5.11166231);
  expect_losses(normed(R"("model": "dit", "masks": "upstream", "attention_mask": true)"),
                2.8103273467, 2.4539625545, -0.0182902271, 3.7465501930, 5.22739108);
  const Value unett = normed(R"("model": "unett")");
  EXPECT_EQ(number(unett, {"parameters"}), 278164);
  expect_losses(unett, 2.4218296499, 2.0239128740, -0.0076245204, 4.0554129631, 9.79700266);
  expect_losses(normed(R"("model": "unett", "masks": "upstream")"), 2.4392356779, 2.0467248260,
                -0.0078904534, 4.0040130538, 9.09108932);
  const Value plain = run(R"({"model": "dit", "qk_norm": "rms_norm"})");
  EXPECT_EQ(number(plain, {"parameters"}), 285604);
  EXPECT_NEAR(number(plain, {"loss", "total"}), 2.4619169311, kTolerance);
  EXPECT_NEAR(number(plain, {"grad_norm"}), 4.98876086, 3 * kTolerance);
}

// As above. With the original masks a text is spread over the padding, too.
TEST(Probe, TextSpreadOverTheFramesGivesTheLossesOfThePackagesModels) {
  const auto spread = [](const char* rest) {
    return run(fmt::format(R"({{"model": "dit", {}, {}{}}})", kAlign, kUpsampled, rest));
  };
  const Value original = spread("");
  EXPECT_EQ(number(original, {"parameters"}), 305352);
  expect_losses(original, 2.6982079846, 2.2626912994, -0.0152569498, 4.5077363494, 5.26029561);
  expect_tensor(original, "text", 18.1259765908, 1177.6960228769);
  expect_tensor(original, "pred", -389.2362609792, 1186.7866102763);
  expect_losses(spread(R"(, "drop": "both")"), 2.7502584085, 2.3039653417, 0.0110115623,
                4.3528150452, 4.94689818);
  const Value upstream = spread(R"(, "masks": "upstream")");
  expect_losses(upstream, 2.7521412735, 2.3299167413, -0.0332549142, 4.5547944639, 5.11842079);
  expect_tensor(upstream, "text", 10.3309755964, 1060.6441956252);
  expect_tensor(upstream, "pred", -389.8484246480, 1192.4464766126);
  expect_losses(spread(R"(, "masks": "upstream", "drop": "both")"), 2.7112912028, 2.2817576180,
                -0.0045811925, 4.3411477720, 4.75785223);
  const Value all =
      spread(R"(, "masks": "upstream", "pe_attn_heads": null, "qk_norm": "rms_norm")");
  EXPECT_EQ(number(all, {"parameters"}), 305608);
  expect_losses(all, 2.7273095765, 2.4200232703, -0.0445879427, 3.5187424894, 4.89388346);
  expect_tensor(all, "pred", -69.3114205378, 1221.0414317070);
}

// Sampled values are compared on the scale of the sum of their magnitudes.
void expect_sample(const Value& report, std::size_t index, double sum, double l1) {
  const Value* samples = report.find("sample");
  ASSERT_NE(samples, nullptr);
  ASSERT_LT(index, samples->if_array()->size());
  const Value& own = (*samples->if_array())[index];
  EXPECT_NEAR(number(own, {"sum"}), sum, kTolerance * l1);
  EXPECT_NEAR(number(own, {"l1"}), l1, kTolerance * l1);
}

TEST(Probe, SamplesAreThoseOfTheReference) {
  const auto dit = [](const char* sample) {
    return run(fmt::format(R"({{"model": "dit", {}, "sample": {}}})", kAlign, sample));
  };
  expect_sample(dit(R"({"solver": "euler", "steps": 4, "sway": -1, "cfg": 2,
                        "durations": [37], "cond_frames": [12]})"),
                0, -53.0058510974, 625.2845489414);
  expect_sample(dit(R"({"sway": null})"), 0, -29.1156084914, 628.5590629141);
  expect_sample(dit(R"({"solver": "midpoint"})"), 0, -24.8473351613, 614.9784420321);
  expect_sample(run(R"({"model": "unett", "sample": {"solver": "midpoint", "sway": null}})"), 0,
                49.4648188517, 715.9417639555);
}

// Of f5-tts 1.1.22, as above.
TEST(Probe, PrunedStepsAndBatchesOfLaterGenerationsGiveThePackagesSamples) {
  const auto dit = [](const char* rest) {
    return run(fmt::format(R"({{"model": "dit", {}}})", rest));
  };
  expect_sample(dit(R"("sample": {"grid": "epss", "steps": 5})"), 0, -22.9566317274,
                616.9628191099);
  expect_sample(dit(R"("sample": {"grid": "uniform", "steps": 5})"), 0, -53.0395153001,
                614.8116821322);
  expect_sample(dit(R"("sample": {"grid": "epss", "steps": 16})"), 0, -51.0776914361,
                621.1108100028);
  const std::string batch = R"("sample": {"durations": [37, 25], "cond_frames": [12, 9]})";
  expect_sample(dit((R"("masks": "upstream", )" + batch).c_str()), 1, -75.8652359014,
                445.2736516442);
  expect_sample(dit((R"("masks": "upstream", "attention_mask": true, )" + batch).c_str()), 1,
                -80.3031226133, 447.2997431611);
  expect_sample(run(R"({"model": "unett", "masks": "upstream", "sample": {"solver": "midpoint",
                        "sway": null, "durations": [37, 25], "cond_frames": [12, 9]}})"),
                1, 31.5962801823, 456.5477365132);
}

TEST(Probe, SamplesWithNormedKeysOrSpreadTextAreThoseOfThePackage) {
  const auto batch = [](const std::string& model) {
    return run("{" + model + R"(, "sample": {"durations": [37, 25], "cond_frames": [12, 9]}})");
  };
  const Value normed = batch(R"("model": "dit", "qk_norm": "rms_norm")");
  expect_sample(normed, 0, 99.2774102959, 683.9482113817);
  expect_sample(normed, 1, -15.6612093486, 469.6961921594);
  const Value original = batch(fmt::format(R"("model": "dit", {})", kUpsampled));
  expect_sample(original, 0, -188.3030632711, 817.6178738811);
  expect_sample(original, 1, -140.5752780532, 496.0089795760);
  const Value upstream =
      batch(fmt::format(R"("model": "dit", "masks": "upstream", {})", kUpsampled));
  expect_sample(upstream, 0, -188.3030632711, 817.6178738811);
  expect_sample(upstream, 1, -134.3480333761, 534.4472015526);
  expect_sample(batch(R"("model": "unett", "qk_norm": "rms_norm")"), 1, -58.7411626528,
                452.8468809992);
}

TEST(Probe, ASampledBatchIsThatOfTheReference) {
  const Value report =
      run(R"({"model": "dit", "sample": {"durations": [37, 25], "cond_frames": [12, 9]}})");
  expect_sample(report, 0, -53.0058510974, 625.2845489414);
  expect_sample(report, 1, -83.0935077879, 445.6587881103);
}

TEST(Probe, Float32AgreesToFourDigits) {
  const Value report = run(fmt::format(R"({{"model": "dit", "dtype": "float32", {}}})", kAlign));
  EXPECT_NEAR(number(report, {"loss", "total"}), 2.7575032434, 2.7e-4);
  EXPECT_NEAR(number(report, {"grad_norm"}), 3.66756583, 3.7e-4);
}

TEST(Probe, WhatItDoesNotSupportIsRefusedByName) {
  for (const char* request :
       {R"({"model": "dit", "masks": "later"})", R"({"model": "dit", "attention_mask": true})",
        R"({"model": "dit", "sample": {"cond_frames": [12, 9]}})",
        R"({"model": "dit", "sample": {"steps": 0}})", R"({"model": "dit", "dropout": 0.1})",
        R"({"model": "dit", "average_upsampling": true})",
        R"({"model": "unett", "text_mask_padding": true, "average_upsampling": true})",
        R"({"model": "dit", "qk_norm": "layer_norm"})", R"({"model": "lstm"})", R"({"dim": 64})",
        R"({"model": "dit", "align": {"text": {"layer": 5}}})", R"({"model": "dit", "depht": 4})",
        R"({"model": "dit", "frames": []})"}) {
    const auto report = probe(*parse_json(request));
    ASSERT_FALSE(report.has_value()) << request;
    EXPECT_EQ(report.error().code, ErrorCode::kInvalid) << request;
  }
}

}  // namespace
}  // namespace strata::trainer
