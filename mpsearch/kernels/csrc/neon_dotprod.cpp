// Kernels for 64-bit Arm processors with the dot product instructions of Armv8.2. See neon_kernels.hpp.
//
// udot adds the 4 products of a lane at once, in 32 bits: nothing is ever widened.
#include "cpu_features.hpp"
#include "neon_kernels.hpp"

namespace mpsearch {
namespace {

template <std::uint32_t Factor>
struct DotSum {
  static constexpr int kRegisters = 4;
  static constexpr int kBlocks = 0;
  static constexpr std::uint32_t kFactor = Factor;
  uint32x4_t sums[kQuads];

  template <int S>
  void add(const uint8x16_t (&weights)[kQuads], uint8x16_t activations) noexcept {
    for (int quad = 0; quad < kQuads; ++quad) {
      sums[quad] = vdotq_laneq_u32(sums[quad], weights[quad], activations, S);
    }
  }
  uint32x4_t total(int quad) const noexcept { return sums[quad]; }
};

// Differing bits. Each takes 2 from the sum.
struct DifferenceSum {
  static constexpr int kRegisters = 4;
  static constexpr int kBlocks = 0;
  static constexpr std::uint32_t kFactor = 0u - 2u;
  uint32x4_t sums[kQuads];

  template <int S>
  void add(const uint8x16_t (&words)[kQuads], uint8x16_t activations) noexcept {
    const uint8x16_t word = broadcast<S>(activations);
    for (int quad = 0; quad < kQuads; ++quad) {
      sums[quad] = vdotq_u32(sums[quad], vcntq_u8(veorq_u8(words[quad], word)), vdupq_n_u8(1));
    }
  }
  uint32x4_t total(int quad) const noexcept { return sums[quad]; }
};

// A mask of ones multiplies by 255, whose inverse modulo 2^32 this is.
constexpr std::uint32_t kInverseOf255 = 0xfefefeff;
static_assert(255u * kInverseOf255 == 1u);

template <class W>
struct SumOf : DotSum<1> {};
template <>
struct SumOf<Binary> : DotSum<2 * kInverseOf255> {};
template <>
struct SumOf<Xor> : DifferenceSum {};

struct NeonDotprod {
  template <class W>
  using Sum = SumOf<W>;
  static uint32x4_t add_bytes(uint32x4_t sum, uint8x16_t bytes) noexcept {
    return vdotq_u32(sum, bytes, vdupq_n_u8(1));
  }
};

}  // namespace

extern const Implementation kNeonDotprod = {
    "neon_dotprod",
    kNeonFeature | kNeonDotprodFeature,
    50.0,
    {tile<NeonDotprod, Int8>, tile<NeonDotprod, Int4>, tile<NeonDotprod, Ternary>, tile<NeonDotprod, Binary>,
     tile<NeonDotprod, Xor>},
    depthwise,
    quantize,
    binarize,
    finish_portably,
    pool_portably,
};

}  // namespace mpsearch
