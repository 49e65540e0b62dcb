#include "plan/weight_sizes.h"

#include <gtest/gtest.h>

#include <map>
#include <string>

#include "checkpoint/synthetic.h"
#include "config/testing.h"
#include "plan/expert_slots.h"
#include "quant/int4_matrix.h"

namespace qnext {
namespace {

ModelConfig Config(const std::string& json) {
  Result<ModelConfig> config = ParseModelConfig(json, "config.json");
  EXPECT_TRUE(config.ok()) << config.status().message();
  return *config;
}

ModelConfig Kind(const std::string& name) { return Config(FindSyntheticKind(name)->config_json); }

WeightSizes Sizes(const ModelConfig& config, DenseWeights dense = DenseWeights::kStored) {
  Result<WeightSizes> sizes = WeightSizesOf(SyntheticCheckpoint(config, 0), config, dense);
  EXPECT_TRUE(sizes.ok()) << sizes.status().message();
  return *sizes;
}

// Four layers of the published model.
std::string Small(std::string_view quantization) {
  return WithMember(Edited(kConfig80B, "\"num_hidden_layers\": 48", "\"num_hidden_layers\": 4"), "quantization_config",
                    quantization);
}

double Gigabytes(const WeightSizes& sizes, Component component) {
  for (const ComponentBytes& one : sizes.dense) {
    if (one.component == component) return 1e-9 * static_cast<double>(one.bytes);
  }
  return 0;
}

TEST(WeightSizes, AreThoseOfTheModelsSizeTable) {
  const WeightSizes b = Sizes(Kind("80b-b"));
  EXPECT_EQ(b.expert_bytes, 1769472);  // docs/int4-layout.md
  EXPECT_EQ(b.routed_experts(), 24576);
  EXPECT_NEAR(1e-9 * static_cast<double>(b.routed_experts() * b.expert_bytes), 43.5, 0.05);
  EXPECT_NEAR(Gigabytes(b, Component::kLinearAttention), 2.43, 0.01);
  EXPECT_NEAR(Gigabytes(b, Component::kFullAttention), 0.65, 0.01);
  EXPECT_NEAR(Gigabytes(b, Component::kSharedExperts) + Gigabytes(b, Component::kRouters), 0.40, 0.01);
  EXPECT_NEAR(Gigabytes(b, Component::kLmHead), 0.62, 0.01);
  EXPECT_EQ(b.embedding_bytes, int64_t{151936} * 2048 * 2);
  EXPECT_NEAR(1e-9 * static_cast<double>(b.dense_bytes()), 4.1, 0.05);

  const WeightSizes a = Sizes(Kind("80b-a"));
  EXPECT_EQ(a.expert_bytes, 1622016);
  EXPECT_NEAR(1e-9 * static_cast<double>(a.routed_experts() * a.expert_bytes), 39.9, 0.05);
  EXPECT_NEAR(1e-9 * static_cast<double>(a.dense_bytes()), 1.6, 0.05);
  EXPECT_NEAR(1e-6 * static_cast<double>(480 * a.expert_bytes), 779, 1) << "read per token";
}

TEST(WeightSizes, Int8HalvesWhatHas16Bits) {
  const ModelConfig config = Kind("80b-b-4layers");
  const WeightSizes stored = Sizes(config), int8 = Sizes(config, DenseWeights::kInt8);
  // A scale of 4 bytes for 128 weights.
  EXPECT_NEAR(Gigabytes(int8, Component::kFullAttention),
              Gigabytes(stored, Component::kFullAttention) * (0.5 + 4.0 / 256), 0.001);
  EXPECT_EQ(Gigabytes(int8, Component::kRouters), Gigabytes(stored, Component::kRouters));
  EXPECT_EQ(int8.expert_bytes, stored.expert_bytes);
  EXPECT_EQ(int8.embedding_bytes, stored.embedding_bytes);
  EXPECT_EQ(Int8LinearBytes(16, 128), 16 * 128 + 16 * 4);
  EXPECT_EQ(Int8LinearBytes(1, 33), 16 * 64 + 16 * 4) << "whole tiles, whole runs of 32";
}

TEST(WeightSizes, LoadingAsInt8TakesTheSizesAndOneTensorMore) {
  const ModelConfig config = Kind("80b-b-4layers");
  const SyntheticCheckpoint source(config, 1);
  EXPECT_EQ(LoadingBytes(source, config, DenseWeights::kStored), source.total_bytes());
  const int64_t saved = Sizes(config).dense_bytes() - Sizes(config, DenseWeights::kInt8).dense_bytes();
  const int64_t head = 151936 * 2048 * 2;  // lm_head, the largest
  EXPECT_NEAR(static_cast<double>(LoadingBytes(source, config, DenseWeights::kInt8)),
              static_cast<double>(source.total_bytes() - saved + head), 1e5);
}

TEST(WeightSizes, WhatBecomesInt8) {
  const auto becomes = [](const char* name, DType stored, TensorRole role = TensorRole::kLinear) {
    return BecomesInt8({.name = name, .role = role, .shape = Shape{16, 32}}, stored, DenseWeights::kInt8);
  };
  for (const char* name : {"lm_head", "model.layers.0.linear_attn.in_proj_ba", "model.layers.3.self_attn.q_proj",
                           "model.layers.3.mlp.shared_expert.up_proj", "model.layers.3.mlp.up_proj"}) {
    EXPECT_TRUE(becomes(name, DType::kBF16)) << name;
    EXPECT_TRUE(becomes(name, DType::kF16)) << name;
    EXPECT_FALSE(becomes(name, DType::kF32)) << name;
  }
  EXPECT_FALSE(becomes("model.layers.0.mlp.gate", DType::kBF16));
  EXPECT_FALSE(becomes("model.layers.0.mlp.shared_expert_gate", DType::kBF16));
  EXPECT_FALSE(becomes("model.layers.0.mlp.experts.7.up_proj", DType::kBF16));
  EXPECT_FALSE(becomes("model.embed_tokens.weight", DType::kBF16, TensorRole::kEmbedding));
}

TEST(WeightSizes, AsymmetricExpertsCarryZeroPoints) {
  const std::string quantization = Edited(kQuantizationAllLinears, "\"sym\": true", "\"sym\": false");
  const WeightSizes sizes = Sizes(Config(Small(quantization)));
  EXPECT_EQ(sizes.expert_bytes, 1622016 + 3 * 8192);
}

TEST(WeightSizes, ATiedHeadIsTheEmbedding) {
  const ModelConfig config =
      Config(Edited(Small(kQuantizationAllLinears), "\"tie_word_embeddings\": false", "\"tie_word_embeddings\": true"));
  const WeightSizes sizes = Sizes(config);
  EXPECT_TRUE(sizes.tied);
  EXPECT_EQ(Gigabytes(sizes, Component::kLmHead), 0);
}

TEST(WeightSizes, NamesWhatCannotBePlanned) {
  const ModelConfig quantized = Kind("80b-a-4layers");
  // A model without any quantization has experts of 16 bits.
  ModelConfig plain = quantized;
  plain.quantization.reset();
  Result<WeightSizes> sizes = WeightSizesOf(SyntheticCheckpoint(plain, 0), plain, DenseWeights::kStored);
  EXPECT_EQ(sizes.status().code(), StatusCode::kUnsupported);
  EXPECT_NE(sizes.status().message().find("model.layers.0.mlp.experts.0.gate_proj"), std::string::npos);
  // A checkpoint that is not the configuration's.
  sizes = WeightSizesOf(SyntheticCheckpoint(quantized, 0), Kind("80b-b-4layers"), DenseWeights::kStored);
  EXPECT_EQ(sizes.status().code(), StatusCode::kCorrupt);
  sizes = WeightSizesOf(SyntheticCheckpoint(quantized, 0), Kind("80b-a"), DenseWeights::kStored);
  EXPECT_EQ(sizes.status().code(), StatusCode::kCorrupt);
  EXPECT_NE(sizes.status().message().find("model.layers.4"), std::string::npos) << sizes.status().message();
  // One expert unlike the others.
  const std::string rule = R"("dynamic": {"+:.*experts\\.7\\..*": {"group_size": 32}, )";
  const ModelConfig mixed = Config(Edited(Small(kQuantizationAllLinears), "\"dynamic\": {", rule));
  sizes = WeightSizesOf(SyntheticCheckpoint(mixed, 0), mixed, DenseWeights::kStored);
  EXPECT_EQ(sizes.status().code(), StatusCode::kUnsupported);
  EXPECT_NE(sizes.status().message().find("experts.7."), std::string::npos) << sizes.status().message();
}

TEST(SlotGeometry, ChunksAreWholeSlotsAndWholePages) {
  for (const int64_t expert : {1622016L, 1769472L, 1646592L, 5000L, 100L, 999999L, 64L << 20, (64L << 20) + 64}) {
    const SlotGeometry slot = SlotGeometry::For(expert);
    EXPECT_GE(slot.stride, expert);
    EXPECT_LT(slot.stride, expert + (16 << 10));
    EXPECT_EQ(slot.chunk_bytes() % SlotGeometry::kPageBytes, 0) << expert;
    EXPECT_GE(slot.chunk_bytes(), 64 << 20) << expert;
    for (const int64_t slots : {0L, 1L, 2L, 127L, 1000L}) {
      EXPECT_GE(slot.SlotsIn(slot.BytesFor(slots)), slots);
      if (slots > 0) {
        EXPECT_LT(slot.SlotsIn(slot.BytesFor(slots) - 1), slot.SlotsIn(slot.BytesFor(slots)) + 1);
        EXPECT_LT(slot.SlotsIn(slots * slot.stride - 1), slots);
      }
    }
  }
  // Nothing is lost on the 80B model's experts.
  EXPECT_EQ(SlotGeometry::For(1622016).stride, 1622016);
  EXPECT_EQ(SlotGeometry::For(1622016).chunk_bytes(), 128 * 1622016);
  EXPECT_EQ(SlotGeometry::For(1769472).stride, 1769472);
  EXPECT_EQ(SlotGeometry::For(1769472).SlotsIn(-5), 0);
}

}  // namespace
}  // namespace qnext
