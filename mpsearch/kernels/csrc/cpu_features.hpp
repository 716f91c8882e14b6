// What this CPU and its operating system offer, as bits.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace mpsearch {

enum Feature : std::uint32_t {
  kAvx2Feature = 1u << 0,  // and FMA: no CPU of note has one alone
  kAvx512fFeature = 1u << 1,
  kAvx512bwFeature = 1u << 2,
  kAvx512dqFeature = 1u << 3,
  kAvx512vlFeature = 1u << 4,
  kAvx512VnniFeature = 1u << 5,
  kAvx512VpopcntdqFeature = 1u << 6,
  kNeonFeature = 1u << 7,
  kNeonDotprodFeature = 1u << 8,
  kAvx512VbmiFeature = 1u << 9,
  kGfniFeature = 1u << 10,
};

std::uint32_t cpu_features() noexcept;
std::vector<std::string> cpu_feature_names();

}  // namespace mpsearch
