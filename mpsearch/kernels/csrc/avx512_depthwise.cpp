// Depthwise convolution for x86 with AVX-512. See avx512.cpp for what this file must not hold.
#include "avx512_lanes.hpp"

namespace mpsearch {
namespace {

// One pixel, Panels x 16 channels.
template <int Panels>
void depthwise_row(const DepthwiseTile& tile, int row, std::int64_t column) noexcept {
  const std::uint8_t* pixel = tile.pixels[row] + column;
  const std::int32_t* weights = tile.weights + column;
  __m512i sums[Panels];
  for (int j = 0; j < Panels; ++j) sums[j] = _mm512_loadu_si512(tile.init + column + j * kPanel);
  for (std::int64_t t = 0; t < tile.tap_count; ++t, weights += tile.weight_stride) {
    for (int j = 0; j < Panels; ++j) {
      // The upper 16 bits of every activation are 0, so each pair of 16-bit products is one product.
      const __m128i bytes =
          _mm_loadu_si128(reinterpret_cast<const __m128i*>(pixel + tile.tap_offsets[t] + j * kPanel));
      sums[j] =
          _mm512_dpwssd_epi32(sums[j], _mm512_cvtepu8_epi32(bytes), _mm512_loadu_si512(weights + j * kPanel));
    }
  }
  for (int j = 0; j < Panels; ++j) {
    const std::int64_t first = column + j * kPanel;
    store(tile.sums, tile.out, row * tile.out_stride + first, first_lanes(tile.columns - first), sums[j],
          _mm512_loadu_ps(tile.scale + first), _mm512_loadu_ps(tile.bias + first));
  }
}

}  // namespace

void depthwise_avx512(const DepthwiseTile& tile) noexcept {
  for (int row = 0; row < tile.rows; ++row) {
    std::int64_t column = 0;
    for (; column + 3 * kPanel < tile.columns; column += 4 * kPanel) depthwise_row<4>(tile, row, column);
    for (; column < tile.columns; column += kPanel) depthwise_row<1>(tile, row, column);
  }
}

}  // namespace mpsearch
