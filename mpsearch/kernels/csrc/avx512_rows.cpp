// One row of activations, for x86 with AVX-512: what spills no cache is bound by decoding weights. See
// avx512.cpp for what this file must not hold.
#include "avx512_lanes.hpp"

namespace mpsearch {
namespace {

// Of a pixel's activations, by place in 64 bytes: those of `ones`.
std::int32_t sum_of_row(const Tile& tile, __m512i ones) noexcept {
  __m512i sum = _mm512_setzero_si512();
  for (std::int64_t t = 0; t < tile.tap_count; ++t) {
    const std::uint8_t* activations = tile.pixels[0] + tile.tap_offsets[t];
    for (std::int64_t k = 0; k < tile.tap_bytes; k += 64) {
      const std::int64_t left = tile.tap_bytes - k;
      const __mmask64 mask = left >= 64 ? ~__mmask64(0) : (__mmask64(1) << left) - 1;
      sum = _mm512_dpbusd_epi32(sum, _mm512_maskz_loadu_epi8(mask, activations + k), ones);
    }
  }
  return _mm512_reduce_add_epi32(sum);
}

// One pixel: decoding costs as much as multiplying, so a part is decoded in one step, to where it lies in its
// byte. Parts 0 to 2 come out as w + 2, 1, 4 and 16 times too large, part 3 as w, 64 times; each has its own
// sum.
template <int Panels>
void ternary_row(const Tile& tile, int first_panel, __m512i correction) noexcept {
  const auto bytes = [](int value) { return _mm512_set1_epi8(static_cast<char>(value)); };
  const __m512i signs[3] = {bytes(0x02), bytes(0x08), bytes(0x20)};
  const __m512i masks[4] = {bytes(0x03), bytes(0x0c), bytes(0x30), bytes(0xc0)};
  __m512i sums[Panels][4];
  for (auto& parts : sums) {
    for (__m512i& part : parts) part = _mm512_setzero_si512();
  }
  const std::size_t panel_bytes = tile.panel_bytes;
  const std::uint8_t* weights = tile.weights + static_cast<std::size_t>(first_panel) * panel_bytes;
  const std::uint8_t* const end_weights = weights + panel_bytes;
  for (std::int64_t t = 0; t < tile.tap_count; ++t) {
    const std::uint8_t* activations = tile.pixels[0] + tile.tap_offsets[t];
    for (std::int64_t k = 0; k < tile.tap_bytes; k += 16, weights += 64) {
      __m512i a[4];
      for (int s = 0; s < 4; ++s)
        a[s] = _mm512_set1_epi32(static_cast<int>(load_u32(activations + k + 4 * s)));
      prefetch<Panels>(weights, end_weights, panel_bytes);
      for (int j = 0; j < Panels; ++j) {
        const __m512i block = _mm512_loadu_si512(weights + static_cast<std::size_t>(j) * panel_bytes);
        for (int s = 0; s < 3; ++s) {
          const __m512i part = _mm512_ternarylogic_epi32(block, signs[s], masks[s], 0x28);  // (a ^ b) & c
          sums[j][s] = dot(sums[j][s], a[s], part);
        }
        sums[j][3] = dot(sums[j][3], a[3], _mm512_and_si512(block, masks[3]));
      }
    }
  }
  for (int j = 0; j < Panels; ++j) {
    const int column = (first_panel + j) * kPanel;
    const __m512i low = _mm512_add_epi32(sums[j][0], _mm512_srai_epi32(sums[j][1], 2));
    const __m512i high = _mm512_add_epi32(_mm512_srai_epi32(sums[j][2], 4), _mm512_srai_epi32(sums[j][3], 6));
    const __m512i first =
        _mm512_sub_epi32(_mm512_loadu_si512(tile.init[0] + tile.init_column + column), correction);
    store(tile.sums, tile.out, column, first_lanes(tile.columns - column),
          _mm512_add_epi32(first, _mm512_add_epi32(low, high)), _mm512_loadu_ps(tile.scale + column),
          _mm512_loadu_ps(tile.bias + column));
  }
}

// Eight blocks of masks, 64 products each, to one byte per lane and activation of four: bit s of it is the
// weight of block s. Transposes 8 x 8 bytes, then 8 x 8 bits.
__m512i bytes_of_masks(__m512i masks) noexcept {
  alignas(64) static constexpr std::uint8_t kOrder[64] = {
      56, 48, 40, 32, 24, 16, 8,  0,  57, 49, 41, 33, 25, 17, 9,  1,  58, 50, 42, 34, 26, 18,
      10, 2,  59, 51, 43, 35, 27, 19, 11, 3,  60, 52, 44, 36, 28, 20, 12, 4,  61, 53, 45, 37,
      29, 21, 13, 5,  62, 54, 46, 38, 30, 22, 14, 6,  63, 55, 47, 39, 31, 23, 15, 7};
  const __m512i turned = _mm512_permutexvar_epi8(_mm512_load_si512(kOrder), masks);
  const __m512i diagonal = _mm512_set1_epi64(static_cast<long long>(0x8040201008040201));
  return _mm512_gf2p8affine_epi64_epi8(diagonal, turned, 0);
}

// One pixel: with S the sum of the activations whose weight is +1, the product is 2 * S less the sum of all
// (`correction`). One instruction decodes a part, to where its bit lies in the byte: part s comes out 2^s
// times too large, part 7 also negative; each has its own sum.
template <int Panels>
void binary_row(const Tile& tile, int first_panel, __m512i correction) noexcept {
  constexpr int kParts = 8;
  __m512i sums[Panels][kParts];
  for (auto& parts : sums) {
    for (__m512i& part : parts) part = _mm512_setzero_si512();
  }
  const std::size_t panel_bytes = tile.panel_bytes;
  const std::uint8_t* weights = tile.weights + static_cast<std::size_t>(first_panel) * panel_bytes;
  const std::uint8_t* const end_weights = weights + panel_bytes;
  const auto broadcast = [](const std::uint8_t* activations) {
    return _mm512_set1_epi32(static_cast<int>(load_u32(activations)));
  };
  for (std::int64_t t = 0; t < tile.tap_count; ++t) {
    const std::uint8_t* activations = tile.pixels[0] + tile.tap_offsets[t];
    const std::uint8_t* const end = activations + tile.tap_bytes;
    for (; end - activations >= 4 * kParts; activations += 4 * kParts, weights += 8 * kParts) {
      prefetch<Panels>(weights, end_weights, panel_bytes);
      __m512i bytes[Panels];
      for (int j = 0; j < Panels; ++j) {
        const std::uint8_t* masks = weights + static_cast<std::size_t>(j) * panel_bytes;
        bytes[j] = bytes_of_masks(_mm512_loadu_si512(masks));
      }
      for (int s = 0; s < kParts; ++s) {
        const __m512i a = broadcast(activations + 4 * s);
        const __m512i bit = _mm512_set1_epi8(static_cast<char>(1 << s));
        for (int j = 0; j < Panels; ++j) {
          sums[j][s] = dot(sums[j][s], a, _mm512_and_si512(bytes[j], bit));
        }
      }
    }
    for (; activations < end; activations += 4, weights += 8) {
      for (int j = 0; j < Panels; ++j) {
        const std::uint8_t* mask = weights + static_cast<std::size_t>(j) * panel_bytes;
        const __m512i part = _mm512_maskz_set1_epi8(static_cast<__mmask64>(load_u64(mask)), 1);
        sums[j][0] = dot(sums[j][0], broadcast(activations), part);
      }
    }
  }
  for (int j = 0; j < Panels; ++j) {
    const int column = (first_panel + j) * kPanel;
    __m512i sum = sums[j][0];
    for (int s = 1; s < kParts - 1; ++s) {
      sum = _mm512_add_epi32(sum, _mm512_srai_epi32(sums[j][s], static_cast<unsigned>(s)));
    }
    sum = _mm512_sub_epi32(sum, _mm512_srai_epi32(sums[j][kParts - 1], kParts - 1));
    const __m512i init = _mm512_loadu_si512(tile.init[0] + tile.init_column + column);
    store(tile.sums, tile.out, column, first_lanes(tile.columns - column),
          _mm512_add_epi32(_mm512_sub_epi32(init, correction), _mm512_add_epi32(sum, sum)),
          _mm512_loadu_ps(tile.scale + column), _mm512_loadu_ps(tile.bias + column));
  }
}

}  // namespace

void ternary_row_avx512(const Tile& tile) noexcept {
  // Those that meet parts 0 to 2 of a block.
  const __m512i low = _mm512_broadcast_i32x4(_mm_setr_epi8(1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0));
  const __m512i correction = _mm512_set1_epi32(2 * sum_of_row(tile, low));
  const int panels = (tile.columns + kPanel - 1) / kPanel;
  int panel = 0;
  for (; panel + 4 <= panels; panel += 4) ternary_row<4>(tile, panel, correction);
  for (; panel < panels; ++panel) ternary_row<1>(tile, panel, correction);
}

void binary_row_avx512(const Tile& tile) noexcept {
  const __m512i correction = _mm512_set1_epi32(sum_of_row(tile, _mm512_set1_epi8(1)));
  const int panels = (tile.columns + kPanel - 1) / kPanel;
  int panel = 0;
  for (; panel + 2 <= panels; panel += 2) binary_row<2>(tile, panel, correction);
  for (; panel < panels; ++panel) binary_row<1>(tile, panel, correction);
}

}  // namespace mpsearch
