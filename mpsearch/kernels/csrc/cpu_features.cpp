#include "cpu_features.hpp"

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__) && defined(__linux__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

namespace mpsearch {
namespace {

struct Name {
  std::uint32_t bit;
  const char* name;
};

constexpr Name kNames[] = {
    {kAvx2Feature, "avx2"},
    {kAvx512fFeature, "avx512f"},
    {kAvx512bwFeature, "avx512bw"},
    {kAvx512dqFeature, "avx512dq"},
    {kAvx512vlFeature, "avx512vl"},
    {kAvx512VnniFeature, "avx512_vnni"},
    {kAvx512VpopcntdqFeature, "avx512_vpopcntdq"},
    {kAvx512VbmiFeature, "avx512vbmi"},
    {kGfniFeature, "gfni"},
    {kNeonFeature, "neon"},
    {kNeonDotprodFeature, "neon_dotprod"},
};

#if defined(__x86_64__)

// Register state that the operating system saves on a context switch.
std::uint64_t saved_state() noexcept {
  std::uint32_t low = 0;
  std::uint32_t high = 0;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (static_cast<std::uint64_t>(high) << 32) | low;
}

std::uint32_t probe() noexcept {
  constexpr std::uint32_t kOsxsave = 1u << 27;
  constexpr std::uint64_t kYmmState = 0x06;
  constexpr std::uint64_t kZmmState = 0xe6;
  unsigned a = 0;
  unsigned b = 0;
  unsigned c = 0;
  unsigned d = 0;
  if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & kOsxsave)) return 0;
  const bool has_fma = (c & (1u << 12)) != 0;
  const std::uint64_t state = saved_state();
  if ((state & kYmmState) != kYmmState || !__get_cpuid_count(7, 0, &a, &b, &c, &d)) return 0;
  std::uint32_t features = 0;
  if (has_fma && (b & (1u << 5))) features |= kAvx2Feature;
  if ((state & kZmmState) != kZmmState) return features;
  if (b & (1u << 16)) features |= kAvx512fFeature;
  if (b & (1u << 17)) features |= kAvx512dqFeature;
  if (b & (1u << 30)) features |= kAvx512bwFeature;
  if (b & (1u << 31)) features |= kAvx512vlFeature;
  if (c & (1u << 11)) features |= kAvx512VnniFeature;
  if (c & (1u << 14)) features |= kAvx512VpopcntdqFeature;
  if (c & (1u << 1)) features |= kAvx512VbmiFeature;
  if (c & (1u << 8)) features |= kGfniFeature;
  return features;
}

#elif defined(__aarch64__)

std::uint32_t probe() noexcept {
  std::uint32_t features = kNeonFeature;
#if defined(__linux__)
  if (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) features |= kNeonDotprodFeature;
#endif
  return features;
}

#else

std::uint32_t probe() noexcept { return 0; }

#endif

}  // namespace

std::uint32_t cpu_features() noexcept {
  static const std::uint32_t features = probe();
  return features;
}

std::vector<std::string> cpu_feature_names() {
  std::vector<std::string> names;
  for (const Name& entry : kNames) {
    if (cpu_features() & entry.bit) names.emplace_back(entry.name);
  }
  return names;
}

}  // namespace mpsearch
