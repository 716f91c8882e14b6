// Kernels for every 64-bit Arm processor. See neon_kernels.hpp.
//
// Products and counts are gathered in 8 or 16 bits for as many blocks as cannot overflow, then widened.
#include "cpu_features.hpp"
#include "neon_kernels.hpp"

namespace mpsearch {
namespace {

// A product of two bytes fills 16 bits: pairs are added in 32.
struct WideSum {
  static constexpr int kRegisters = 8;
  static constexpr int kBlocks = 0;
  static constexpr std::uint32_t kFactor = 1;
  uint32x4_t pairs[2 * kQuads];

  template <int S>
  void add(const uint8x16_t (&weights)[kQuads], uint8x16_t activations) noexcept {
    const uint8x16_t word = broadcast<S>(activations);
    for (int quad = 0; quad < kQuads; ++quad) {
      const uint16x8_t low = vmull_u8(vget_low_u8(weights[quad]), vget_low_u8(word));
      pairs[2 * quad] = vpadalq_u16(pairs[2 * quad], low);
      pairs[2 * quad + 1] = vpadalq_u16(pairs[2 * quad + 1], vmull_high_u8(weights[quad], word));
    }
  }
  uint32x4_t total(int quad) const noexcept { return vpaddq_u32(pairs[2 * quad], pairs[2 * quad + 1]); }
};

// Small weights, `Greatest` with their offset, `Parts` in a byte: one product of each part is added to the
// same 16 bits.
template <int Greatest, int Parts>
struct NarrowSum {
  static constexpr int kRegisters = 8;
  static constexpr int kBlocks = 65535 / (255 * Greatest * Parts);
  static constexpr std::uint32_t kFactor = 1;
  uint16x8_t products[2 * kQuads];
  uint32x4_t wide[kQuads];

  template <int S>
  void add(const uint8x16_t (&weights)[kQuads], uint8x16_t activations) noexcept {
    const uint8x16_t word = broadcast<S>(activations);
    for (int quad = 0; quad < kQuads; ++quad) {
      products[2 * quad] = vmlal_u8(products[2 * quad], vget_low_u8(weights[quad]), vget_low_u8(word));
      products[2 * quad + 1] = vmlal_high_u8(products[2 * quad + 1], weights[quad], word);
    }
  }
  void widen() noexcept {
    for (int quad = 0; quad < kQuads; ++quad) {
      const uint32x4_t low = vpaddlq_u16(products[2 * quad]);
      const uint32x4_t high = vpaddlq_u16(products[2 * quad + 1]);
      wide[quad] = vaddq_u32(wide[quad], vpaddq_u32(low, high));
      products[2 * quad] = products[2 * quad + 1] = vdupq_n_u16(0);
    }
  }
  uint32x4_t total(int quad) const noexcept { return wide[quad]; }
};

// Activations where the weight's mask is set: two are added to the same 16 bits.
struct MaskedSum {
  static constexpr int kRegisters = 4;
  static constexpr int kBlocks = 65535 / (2 * 255);
  static constexpr std::uint32_t kFactor = 2;
  uint16x8_t pairs[kQuads];
  uint32x4_t wide[kQuads];

  template <int S>
  void add(const uint8x16_t (&masks)[kQuads], uint8x16_t activations) noexcept {
    const uint8x16_t word = broadcast<S>(activations);
    for (int quad = 0; quad < kQuads; ++quad) {
      pairs[quad] = vpadalq_u8(pairs[quad], vandq_u8(masks[quad], word));
    }
  }
  void widen() noexcept {
    for (int quad = 0; quad < kQuads; ++quad) {
      wide[quad] = vpadalq_u16(wide[quad], pairs[quad]);
      pairs[quad] = vdupq_n_u16(0);
    }
  }
  uint32x4_t total(int quad) const noexcept { return wide[quad]; }
};

// Differing bits: up to 8 are added to a byte. Each takes 2 from the sum.
struct DifferenceSum {
  static constexpr int kRegisters = 4;
  static constexpr int kBlocks = 255 / 8;
  static constexpr std::uint32_t kFactor = 0u - 2u;
  uint8x16_t counts[kQuads];
  uint32x4_t wide[kQuads];

  template <int S>
  void add(const uint8x16_t (&words)[kQuads], uint8x16_t activations) noexcept {
    const uint8x16_t word = broadcast<S>(activations);
    for (int quad = 0; quad < kQuads; ++quad) {
      counts[quad] = vaddq_u8(counts[quad], vcntq_u8(veorq_u8(words[quad], word)));
    }
  }
  void widen() noexcept {
    for (int quad = 0; quad < kQuads; ++quad) {
      wide[quad] = vpadalq_u16(wide[quad], vpaddlq_u8(counts[quad]));
      counts[quad] = vdupq_n_u8(0);
    }
  }
  uint32x4_t total(int quad) const noexcept { return wide[quad]; }
};

template <class W>
struct SumOf;
template <>
struct SumOf<Int8> : WideSum {};
template <>
struct SumOf<Int4> : NarrowSum<15, 2> {};
template <>
struct SumOf<Ternary> : NarrowSum<3, 4> {};
template <>
struct SumOf<Binary> : MaskedSum {};
template <>
struct SumOf<Xor> : DifferenceSum {};

struct Neon {
  template <class W>
  using Sum = SumOf<W>;
  static uint32x4_t add_bytes(uint32x4_t sum, uint8x16_t bytes) noexcept {
    return vpadalq_u16(sum, vpaddlq_u8(bytes));
  }
};

}  // namespace

extern const Implementation kNeon = {
    "neon",
    kNeonFeature,
    12.0,
    {tile<Neon, Int8>, tile<Neon, Int4>, tile<Neon, Ternary>, tile<Neon, Binary>, tile<Neon, Xor>},
    depthwise,
    quantize,
    binarize,
    finish_portably,
    pool_portably,
};

}  // namespace mpsearch
