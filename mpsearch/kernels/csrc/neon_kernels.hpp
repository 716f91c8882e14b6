// What the two NEON implementations share; see contract.hpp. neon.cpp and neon_dotprod.cpp include it, each
// under flags of its own, so everything lies in an anonymous namespace and nothing comes from the C++
// library.
//
// Output-stationary: a register holds 4 bytes of weights for each of 4 output channels, a panel is 4 of them.
// NEON multiplies bytes of one kind only, and activations are unsigned. Weights are therefore decoded to
// w + offset, which is unsigned too, and the sum of a pixel's activations, taken once per tile, corrects:
//     sum of u * w  =  sum of u * (w + offset)  -  offset * sum of u
// All sums are modulo 2^32, where that is exact: the result itself fits int32.
#pragma once

#include <arm_neon.h>

#include "contract.hpp"

namespace mpsearch {
namespace {

constexpr int kQuads = 4;  // registers per panel

// The 4 bytes that follow one another at an address that has no alignment.
std::uint32_t load_u32(const std::uint8_t* bytes) noexcept {
  std::uint32_t value;
  __builtin_memcpy(&value, bytes, sizeof value);
  return value;
}

// `Unit` bytes and then zeros.
template <int Unit>
uint8x16_t load_unit(const std::uint8_t* bytes) noexcept {
  if constexpr (Unit == 16) {
    return vld1q_u8(bytes);
  } else if constexpr (Unit == 8) {
    return vcombine_u8(vld1_u8(bytes), vdup_n_u8(0));
  } else {
    return vcombine_u8(vcreate_u8(load_u32(bytes)), vdup_n_u8(0));
  }
}

// Word `S` of a register, in all its words.
template <int S>
uint8x16_t broadcast(uint8x16_t bytes) noexcept {
  return vreinterpretq_u8_u32(vdupq_laneq_u32(vreinterpretq_u32_u8(bytes), S));
}

// A layout, as a kernel sees it: load register `quad` of a block, decode part `S` of it.

struct Int8 {
  static constexpr Layout layout = Layout::kInt8;
  static constexpr std::uint32_t offset = 128;
  static uint8x16_t load(const std::uint8_t* block, int quad) noexcept {
    return veorq_u8(vld1q_u8(block + 16 * quad), vdupq_n_u8(0x80));
  }
  template <int S>
  static uint8x16_t decode(uint8x16_t part) noexcept {
    return part;
  }
};

struct Int4 {
  static constexpr Layout layout = Layout::kInt4;
  static constexpr std::uint32_t offset = 8;
  static uint8x16_t load(const std::uint8_t* block, int quad) noexcept {
    return veorq_u8(vld1q_u8(block + 16 * quad), vdupq_n_u8(0x88));
  }
  template <int S>
  static uint8x16_t decode(uint8x16_t parts) noexcept {
    if constexpr (S == 0) {
      return vandq_u8(parts, vdupq_n_u8(0x0f));
    } else {
      return vshrq_n_u8(parts, 4);
    }
  }
};

struct Ternary {
  static constexpr Layout layout = Layout::kTernary;
  static constexpr std::uint32_t offset = 2;
  static uint8x16_t load(const std::uint8_t* block, int quad) noexcept {
    return veorq_u8(vld1q_u8(block + 16 * quad), vdupq_n_u8(0xaa));
  }
  template <int S>
  static uint8x16_t decode(uint8x16_t parts) noexcept {
    if constexpr (S == 0) {
      return vandq_u8(parts, vdupq_n_u8(0x03));
    } else if constexpr (S == 3) {
      return vshrq_n_u8(parts, 6);
    } else {
      return vandq_u8(vshrq_n_u8(parts, 2 * S), vdupq_n_u8(0x03));
    }
  }
};

// A mask instead of a weight: all ones for +1. The sum under the mask counts twice, the whole one once off:
// `offset` is the 1 of sum of u * w = 2 * (sum of u where w = +1) - sum of u.
struct Binary {
  static constexpr Layout layout = Layout::kBinary;
  static constexpr std::uint32_t offset = 1;
  static uint8x16_t load(const std::uint8_t* block, int quad) noexcept {
    const uint8x16_t byte_of = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1};
    const uint8x16_t bit_of = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
    const uint8x16_t bits = vcombine_u8(vld1_u8(block), vdup_n_u8(0));
    const uint8x16_t place = vaddq_u8(byte_of, vdupq_n_u8(static_cast<std::uint8_t>(2 * quad)));
    return vtstq_u8(vqtbl1q_u8(bits, place), bit_of);
  }
  template <int S>
  static uint8x16_t decode(uint8x16_t mask) noexcept {
    return mask;
  }
};

struct Xor {
  static constexpr Layout layout = Layout::kXor;
  static constexpr std::uint32_t offset = 0;
  static uint8x16_t load(const std::uint8_t* block, int quad) noexcept { return vld1q_u8(block + 16 * quad); }
  template <int S>
  static uint8x16_t decode(uint8x16_t words) noexcept {
    return words;
  }
};

void store(std::int32_t* sums, float* out, std::ptrdiff_t at, std::int64_t count, int32x4_t sum,
           float32x4_t scale, float32x4_t bias) noexcept {
  const float32x4_t real = vaddq_f32(vmulq_f32(vcvtq_f32_s32(sum), scale), bias);
  if (count >= 4) {
    if (sums != nullptr) {
      vst1q_s32(sums + at, sum);
    } else {
      vst1q_f32(out + at, real);
    }
    return;
  }
  for (int lane = 0; lane < count; ++lane) {
    if (sums != nullptr) {
      sums[at + lane] = sum[lane];
    } else {
      out[at + lane] = real[lane];
    }
  }
}

// What an instruction set adds: `Isa::Sum<W>`, the sums of one pixel for one panel, and `Isa::add_bytes`,
// which adds each 4 bytes to their word. A Sum has
//     kRegisters    how many it keeps in use: a tile of all of them must fit the register file
//     kBlocks       most blocks between two calls of widen(); 0 if it never needs one
//     kFactor       the sum is kFactor * total()
//     add<S>(weights, activations)   the products of word S of the activations with the weights

template <class Isa, class W, int S, int Rows, int Panels>
void add_part(typename Isa::template Sum<W> (&sums)[Rows][Panels], const uint8x16_t (&blocks)[Panels][kQuads],
              const uint8x16_t (&activations)[Rows]) noexcept {
  for (int j = 0; j < Panels; ++j) {
    uint8x16_t weights[kQuads];
    for (int quad = 0; quad < kQuads; ++quad) weights[quad] = W::template decode<S>(blocks[j][quad]);
    for (int i = 0; i < Rows; ++i) sums[i][j].template add<S>(weights, activations[i]);
  }
}

// Rows x Panels; past the tile's last row, that one is computed again and not stored.
template <class Isa, class W, int Rows, int Panels>
void micro(const Tile& tile, int first_row, int first_panel, const std::uint32_t* pixel_sums) noexcept {
  using Sum = typename Isa::template Sum<W>;
  constexpr LayoutInfo info = kLayouts[static_cast<int>(W::layout)];
  Sum sums[Rows][Panels] = {};
  int left = Sum::kBlocks;
  const std::uint8_t* block = tile.weights + static_cast<std::size_t>(first_panel) * tile.panel_bytes;
  for (std::int64_t t = 0; t < tile.tap_count; ++t) {
    const std::uint8_t* rows[Rows];
    for (int i = 0; i < Rows; ++i) {
      const int row = first_row + i < tile.rows ? first_row + i : tile.rows - 1;
      rows[i] = tile.pixels[row] + tile.tap_offsets[t];
    }
    for (std::int64_t k = 0; k < tile.tap_bytes; k += info.unit, block += info.block) {
      uint8x16_t blocks[Panels][kQuads];
      for (int j = 0; j < Panels; ++j) {
        const std::uint8_t* place = block + static_cast<std::size_t>(j) * tile.panel_bytes;
        if (Rows == 1) __builtin_prefetch(place + 512);
        for (int quad = 0; quad < kQuads; ++quad) blocks[j][quad] = W::load(place, quad);
      }
      uint8x16_t activations[Rows];
      for (int i = 0; i < Rows; ++i) activations[i] = load_unit<info.unit>(rows[i] + k);
      add_part<Isa, W, 0>(sums, blocks, activations);
      if constexpr (info.unit >= 8) add_part<Isa, W, 1>(sums, blocks, activations);
      if constexpr (info.unit >= 16) {
        add_part<Isa, W, 2>(sums, blocks, activations);
        add_part<Isa, W, 3>(sums, blocks, activations);
      }
      if constexpr (Sum::kBlocks > 0) {
        if (--left > 0) continue;
        left = Sum::kBlocks;
        for (int i = 0; i < Rows; ++i) {
          for (int j = 0; j < Panels; ++j) sums[i][j].widen();
        }
      }
    }
  }
  for (int j = 0; j < Panels; ++j) {
    for (int i = 0; i < Rows && first_row + i < tile.rows; ++i) {
      const int row = first_row + i;
      if constexpr (Sum::kBlocks > 0) sums[i][j].widen();
      for (int quad = 0; quad < kQuads; ++quad) {
        const int column = (first_panel + j) * kPanel + 4 * quad;
        const uint32x4_t product = vmulq_n_u32(sums[i][j].total(quad), Sum::kFactor);
        const uint32x4_t shift = vdupq_n_u32(W::offset * pixel_sums[row]);
        const int32x4_t sum = vaddq_s32(vld1q_s32(tile.init[row] + tile.init_column + column),
                                        vreinterpretq_s32_u32(vsubq_u32(product, shift)));
        store(tile.sums, tile.out, row * tile.out_stride + column, tile.columns - column, sum,
              vld1q_f32(tile.scale + column), vld1q_f32(tile.bias + column));
      }
    }
  }
}

// Each pixel's sum of all activations, for the layouts that are corrected by it.
template <class Isa>
void sum_pixels(const Tile& tile, std::uint32_t (&pixel_sums)[kTileRows]) noexcept {
  for (int row = 0; row < tile.rows; ++row) {
    uint32x4_t sum = vdupq_n_u32(0);
    for (std::int64_t t = 0; t < tile.tap_count; ++t) {
      const std::uint8_t* activations = tile.pixels[row] + tile.tap_offsets[t];
      std::int64_t k = 0;
      for (; k + 16 <= tile.tap_bytes; k += 16) sum = Isa::add_bytes(sum, vld1q_u8(activations + k));
      for (; k < tile.tap_bytes; k += 4) sum = Isa::add_bytes(sum, load_unit<4>(activations + k));
    }
    pixel_sums[row] = vaddvq_u32(sum);
  }
}

template <class Isa, class W, int Rows, int MaxPanels>
void sweep(const Tile& tile, int first_row, const std::uint32_t* pixel_sums) noexcept {
  const int panels = (tile.columns + kPanel - 1) / kPanel;
  int panel = 0;
  for (; panel + MaxPanels <= panels; panel += MaxPanels) {
    micro<Isa, W, Rows, MaxPanels>(tile, first_row, panel, pixel_sums);
  }
  if constexpr (MaxPanels > 1) {
    for (; panel < panels; ++panel) micro<Isa, W, Rows, 1>(tile, first_row, panel, pixel_sums);
  }
}

template <class Isa, class W>
void tile(const Tile& tile) noexcept {
  constexpr int kMost = 16 / Isa::template Sum<W>::kRegisters;  // of 32; weights and activations need some
  static_assert(kMost == 2 || kMost == 4);
  std::uint32_t pixel_sums[kTileRows] = {};
  if constexpr (W::offset != 0) sum_pixels<Isa>(tile, pixel_sums);
  int row = 0;
  if constexpr (kMost == 4) {
    for (; tile.rows - row > 2; row += 4) sweep<Isa, W, 4, 1>(tile, row, pixel_sums);
  }
  for (; tile.rows - row > 1; row += 2) sweep<Isa, W, 2, kMost / 2>(tile, row, pixel_sums);
  if (row < tile.rows) sweep<Isa, W, 1, kMost>(tile, row, pixel_sums);
}

void depthwise(const DepthwiseTile& tile) noexcept {
  for (int row = 0; row < tile.rows; ++row) {
    for (std::int64_t column = 0; column < tile.columns; column += kPanel) {
      const std::uint8_t* pixel = tile.pixels[row] + column;
      const std::int32_t* weights = tile.weights + column;
      int32x4_t sums[kQuads];
      for (int quad = 0; quad < kQuads; ++quad) sums[quad] = vld1q_s32(tile.init + column + 4 * quad);
      for (std::int64_t t = 0; t < tile.tap_count; ++t, weights += tile.weight_stride) {
        const uint8x16_t bytes = vld1q_u8(pixel + tile.tap_offsets[t]);
        const uint16x8_t low = vmovl_u8(vget_low_u8(bytes));
        const uint16x8_t high = vmovl_high_u8(bytes);
        const uint32x4_t activations[kQuads] = {vmovl_u16(vget_low_u16(low)), vmovl_high_u16(low),
                                                vmovl_u16(vget_low_u16(high)), vmovl_high_u16(high)};
        for (int quad = 0; quad < kQuads; ++quad) {
          sums[quad] =
              vmlaq_s32(sums[quad], vreinterpretq_s32_u32(activations[quad]), vld1q_s32(weights + 4 * quad));
        }
      }
      for (int quad = 0; quad < kQuads; ++quad) {
        const std::int64_t first = column + 4 * quad;
        store(tile.sums, tile.out, row * tile.out_stride + first, tile.columns - first, sums[quad],
              vld1q_f32(tile.scale + first), vld1q_f32(tile.bias + first));
      }
    }
  }
}

// The first `count` of 4 floats, then `fill`.
float32x4_t load_first(const float* x, std::int64_t count, float fill) noexcept {
  if (count >= 4) return vld1q_f32(x);
  float32x4_t loaded = vdupq_n_f32(fill);
  for (int lane = 0; lane < count; ++lane) loaded[lane] = x[lane];
  return loaded;
}

void quantize(const QuantizeArgs& args) noexcept {
  const float32x4_t low = vdupq_n_f32(static_cast<float>(-args.zero));
  const float32x4_t high = vdupq_n_f32(static_cast<float>(255 - args.zero));
  const int32x4_t zero = vdupq_n_s32(args.zero);
  for (std::int64_t row = 0; row < args.rows; ++row) {
    const float* x = args.x + row * args.x_stride;
    std::uint8_t* out = args.out + row * args.out_stride;
    for (std::int64_t c = 0; c < args.channels; c += 8) {
      const std::int64_t left = args.channels - c;
      int16x4_t halves[2];
      for (int half = 0; half < 2; ++half) {
        const float32x4_t scaled =
            vmulq_n_f32(load_first(x + c + 4 * half, left - 4 * half, 0.0f), args.inverse_scale);
        // NaN passes through both bounds; as an integer it is 0.
        const float32x4_t clipped = vminq_f32(vmaxq_f32(scaled, low), high);
        halves[half] = vmovn_s32(vaddq_s32(vcvtnq_s32_f32(clipped), zero));
      }
      const uint8x8_t bytes = vmovn_u16(vreinterpretq_u16_s16(vcombine_s16(halves[0], halves[1])));
      if (left >= 8) {
        vst1_u8(out + c, bytes);
      } else {
        for (int lane = 0; lane < left; ++lane) out[c + lane] = bytes[lane];
      }
    }
  }
}

void binarize(const QuantizeArgs& args) noexcept {
  const uint16x8_t bit_of = {1, 2, 4, 8, 16, 32, 64, 128};
  for (std::int64_t row = 0; row < args.rows; ++row) {
    const float* x = args.x + row * args.x_stride;
    std::uint8_t* out = args.out + row * args.out_stride;
    const std::int64_t bytes = (args.channels + 31) / 32 * 4;
    for (std::int64_t byte = 0; byte < bytes; ++byte) {
      uint16x4_t reached[2];
      for (int half = 0; half < 2; ++half) {
        const std::int64_t c = 8 * byte + 4 * half;
        // Past the last channel, -1 does not reach 0.
        const float32x4_t values = load_first(x + c, args.channels - c, -1.0f);
        const float32x4_t thresholds = load_first(args.threshold + c, args.channels - c, 0.0f);
        reached[half] = vmovn_u32(vcgeq_f32(values, thresholds));
      }
      out[byte] =
          static_cast<std::uint8_t>(vaddvq_u16(vandq_u16(vcombine_u16(reached[0], reached[1]), bit_of)));
    }
  }
}

}  // namespace
}  // namespace mpsearch
