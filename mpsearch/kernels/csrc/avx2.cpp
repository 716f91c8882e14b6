// Kernels for x86 with AVX2. See contract.hpp, and avx512.cpp for the way tiles work and for what this file
// must not contain. A panel of 16 output channels is two ymm registers.
//
// vpmaddubsw adds two products in int16 and saturates: 2 * 255 * 8 fits for 4-bit weights and below, but
// 2 * 255 * 128 does not, so 8-bit weights are widened to int16 and multiplied by vpmaddwd, which is exact.
#include <immintrin.h>

#include "contract.hpp"
#include "cpu_features.hpp"
#include "zero_upper.hpp"

namespace mpsearch {
namespace {

constexpr int kHalves = 2;  // ymm registers per panel

int load_i32(const std::uint8_t* bytes) noexcept {
  std::int32_t value;
  __builtin_memcpy(&value, bytes, sizeof value);
  return value;
}

__m256i load(const void* address) noexcept {
  return _mm256_loadu_si256(static_cast<const __m256i*>(address));
}

// All ones in the first `count` of 8 lanes.
__m256i first_lanes(std::int64_t count) noexcept {
  const int clipped = count > 8 ? 8 : count < 0 ? 0 : static_cast<int>(count);
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(clipped), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

void store(std::int32_t* sums, float* out, std::ptrdiff_t at, __m256i mask, __m256i sum, __m256 scale,
           __m256 bias) noexcept {
  if (sums != nullptr) {
    _mm256_maskstore_epi32(sums + at, mask, sum);
  } else {
    _mm256_maskstore_ps(out + at, mask, _mm256_add_ps(_mm256_mul_ps(_mm256_cvtepi32_ps(sum), scale), bias));
  }
}

template <int Rows>
void store_panel(const Tile& tile, int panel, const __m256i (&sums)[Rows][kHalves], int first_row) noexcept {
  for (int h = 0; h < kHalves; ++h) {
    const int column = panel * kPanel + 8 * h;
    const __m256i mask = first_lanes(tile.columns - column);
    const __m256 scale = _mm256_loadu_ps(tile.scale + column);
    const __m256 bias = _mm256_loadu_ps(tile.bias + column);
    for (int i = 0; i < Rows && first_row + i < tile.rows; ++i) {
      const int row = first_row + i;
      const __m256i sum = _mm256_add_epi32(load(tile.init[row] + tile.init_column + column), sums[i][h]);
      store(tile.sums, tile.out, row * tile.out_stride + column, mask, sum, scale, bias);
    }
  }
}

// Pointers to tap `t` of `Rows` pixels; past the last pixel, the last one again.
template <int Rows>
void find_rows(const Tile& tile, int first_row, std::int64_t t, const std::uint8_t* (&rows)[Rows]) noexcept {
  for (int i = 0; i < Rows; ++i) {
    const int row = first_row + i < tile.rows ? first_row + i : tile.rows - 1;
    rows[i] = tile.pixels[row] + tile.tap_offsets[t];
  }
}

// Products of 4 activations with 8 channels' weights, exact in int32: even and odd places in 16 bits.
struct WidenedWeights {
  __m256i even;
  __m256i odd;
  explicit WidenedWeights(__m256i weights) noexcept
      : even(_mm256_srai_epi16(_mm256_slli_epi16(weights, 8), 8)), odd(_mm256_srai_epi16(weights, 8)) {}
};

template <int Rows>
void micro_int8(const Tile& tile, int panel, int first_row) noexcept {
  __m256i sums[Rows][kHalves];
  for (auto& row : sums) row[0] = row[1] = _mm256_setzero_si256();
  const __m256i even_bytes = _mm256_set1_epi16(0x00ff);
  const std::uint8_t* block = tile.weights + static_cast<std::size_t>(panel) * tile.panel_bytes;
  for (std::int64_t t = 0; t < tile.tap_count; ++t) {
    const std::uint8_t* rows[Rows];
    find_rows(tile, first_row, t, rows);
    for (std::int64_t k = 0; k < tile.tap_bytes; k += 4, block += 64) {
      const WidenedWeights low(load(block));
      const WidenedWeights high(load(block + 32));
      for (int i = 0; i < Rows; ++i) {
        const __m256i activations = _mm256_set1_epi32(load_i32(rows[i] + k));
        const __m256i even = _mm256_and_si256(activations, even_bytes);
        const __m256i odd = _mm256_srli_epi16(activations, 8);
        sums[i][0] = _mm256_add_epi32(sums[i][0], _mm256_madd_epi16(even, low.even));
        sums[i][1] = _mm256_add_epi32(sums[i][1], _mm256_madd_epi16(even, high.even));
        sums[i][0] = _mm256_add_epi32(sums[i][0], _mm256_madd_epi16(odd, low.odd));
        sums[i][1] = _mm256_add_epi32(sums[i][1], _mm256_madd_epi16(odd, high.odd));
      }
    }
  }
  store_panel(tile, panel, sums, first_row);
}

// Layouts whose weights are small enough for vpmaddubsw: part `S` of half `h` of a block, as signed bytes.

struct Int4 {
  static constexpr Layout layout = Layout::kInt4;
  template <int S>
  static __m256i decode(const std::uint8_t* block, int h) noexcept {
    const __m256i table =
        _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 1, 2, 3, 4, 5, 6, 7, -8, -7, -6, -5, -4, -3, -2, -1));
    const __m256i nibbles = _mm256_srli_epi16(load(block + 32 * h), 4 * S);
    return _mm256_shuffle_epi8(table, _mm256_and_si256(nibbles, _mm256_set1_epi8(0x0f)));
  }
};

struct Ternary {
  static constexpr Layout layout = Layout::kTernary;
  template <int S>
  static __m256i decode(const std::uint8_t* block, int h) noexcept {
    const __m256i table =
        _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 1, -2, -1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0));
    const __m256i pairs = _mm256_srli_epi16(load(block + 32 * h), 2 * S);
    return _mm256_shuffle_epi8(table, _mm256_and_si256(pairs, _mm256_set1_epi8(0x03)));
  }
};

struct Binary {
  static constexpr Layout layout = Layout::kBinary;
  template <int S>
  static __m256i decode(const std::uint8_t* block, int h) noexcept {
    const __m256i byte_of = _mm256_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2,
                                             2, 2, 3, 3, 3, 3, 3, 3, 3, 3);
    const __m256i bit_of = _mm256_set1_epi64x(static_cast<long long>(0x8040201008040201ull));
    const __m256i bytes = _mm256_shuffle_epi8(_mm256_set1_epi32(load_i32(block + 4 * h)), byte_of);
    const __m256i is_clear = _mm256_cmpeq_epi8(_mm256_and_si256(bytes, bit_of), _mm256_setzero_si256());
    return _mm256_or_si256(is_clear, _mm256_set1_epi8(1));
  }
};

template <class W, int S, int Rows>
void add_part(__m256i (&sums)[Rows][kHalves], const std::uint8_t* block,
              const std::uint8_t* const (&rows)[Rows], std::int64_t k) noexcept {
  const __m256i ones = _mm256_set1_epi16(1);
  const __m256i low = W::template decode<S>(block, 0);
  const __m256i high = W::template decode<S>(block, 1);
  for (int i = 0; i < Rows; ++i) {
    const __m256i activations = _mm256_set1_epi32(load_i32(rows[i] + k + 4 * S));
    const __m256i low_pairs = _mm256_maddubs_epi16(activations, low);
    const __m256i high_pairs = _mm256_maddubs_epi16(activations, high);
    sums[i][0] = _mm256_add_epi32(sums[i][0], _mm256_madd_epi16(low_pairs, ones));
    sums[i][1] = _mm256_add_epi32(sums[i][1], _mm256_madd_epi16(high_pairs, ones));
  }
}

template <class W, int Rows>
void micro_small(const Tile& tile, int panel, int first_row) noexcept {
  constexpr LayoutInfo info = kLayouts[static_cast<int>(W::layout)];
  __m256i sums[Rows][kHalves];
  for (auto& row : sums) row[0] = row[1] = _mm256_setzero_si256();
  const std::uint8_t* block = tile.weights + static_cast<std::size_t>(panel) * tile.panel_bytes;
  for (std::int64_t t = 0; t < tile.tap_count; ++t) {
    const std::uint8_t* rows[Rows];
    find_rows(tile, first_row, t, rows);
    for (std::int64_t k = 0; k < tile.tap_bytes; k += info.unit, block += info.block) {
      add_part<W, 0>(sums, block, rows, k);
      if constexpr (info.unit >= 8) add_part<W, 1>(sums, block, rows, k);
      if constexpr (info.unit >= 16) {
        add_part<W, 2>(sums, block, rows, k);
        add_part<W, 3>(sums, block, rows, k);
      }
    }
  }
  store_panel(tile, panel, sums, first_row);
}

__m256i count_bits_per_byte(__m256i bits) noexcept {
  const __m256i table =
      _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4));
  const __m256i nibble = _mm256_set1_epi8(0x0f);
  const __m256i low = _mm256_shuffle_epi8(table, _mm256_and_si256(bits, nibble));
  const __m256i high = _mm256_shuffle_epi8(table, _mm256_and_si256(_mm256_srli_epi16(bits, 4), nibble));
  return _mm256_add_epi8(low, high);
}

template <int Rows>
void micro_xor(const Tile& tile, int panel, int first_row) noexcept {
  constexpr std::int64_t kSteps = 31;  // a byte counts up to 31 * 8 = 248 bits
  __m256i sums[Rows][kHalves];
  for (auto& row : sums) row[0] = row[1] = _mm256_setzero_si256();
  const std::uint8_t* block = tile.weights + static_cast<std::size_t>(panel) * tile.panel_bytes;
  for (std::int64_t t = 0; t < tile.tap_count; ++t) {
    const std::uint8_t* rows[Rows];
    find_rows(tile, first_row, t, rows);
    for (std::int64_t begin = 0; begin < tile.tap_bytes; begin += 4 * kSteps) {
      const std::int64_t end = begin + 4 * kSteps < tile.tap_bytes ? begin + 4 * kSteps : tile.tap_bytes;
      __m256i bytes[Rows][kHalves];
      for (auto& row : bytes) row[0] = row[1] = _mm256_setzero_si256();
      for (std::int64_t k = begin; k < end; k += 4, block += 64) {
        const __m256i low = load(block);
        const __m256i high = load(block + 32);
        for (int i = 0; i < Rows; ++i) {
          const __m256i activations = _mm256_set1_epi32(load_i32(rows[i] + k));
          bytes[i][0] = _mm256_add_epi8(bytes[i][0], count_bits_per_byte(_mm256_xor_si256(activations, low)));
          bytes[i][1] =
              _mm256_add_epi8(bytes[i][1], count_bits_per_byte(_mm256_xor_si256(activations, high)));
        }
      }
      for (int i = 0; i < Rows; ++i) {
        for (int h = 0; h < kHalves; ++h) {
          const __m256i pairs = _mm256_maddubs_epi16(bytes[i][h], _mm256_set1_epi8(1));
          // Each difference takes 2 from the sum.
          sums[i][h] = _mm256_add_epi32(sums[i][h], _mm256_madd_epi16(pairs, _mm256_set1_epi16(-2)));
        }
      }
    }
  }
  store_panel(tile, panel, sums, first_row);
}

void tile_int8(const Tile& tile) noexcept {
  for (int panel = 0; panel * kPanel < tile.columns; ++panel) {
    int row = 0;
    for (; tile.rows - row >= 3; row += 4) micro_int8<4>(tile, panel, row);
    for (; row < tile.rows; ++row) micro_int8<1>(tile, panel, row);
  }
}

template <class W>
void tile_small(const Tile& tile) noexcept {
  for (int panel = 0; panel * kPanel < tile.columns; ++panel) {
    int row = 0;
    for (; tile.rows - row >= 3; row += 4) micro_small<W, 4>(tile, panel, row);
    for (; row < tile.rows; ++row) micro_small<W, 1>(tile, panel, row);
  }
}

void tile_xor(const Tile& tile) noexcept {
  for (int panel = 0; panel * kPanel < tile.columns; ++panel) {
    int row = 0;
    for (; tile.rows - row >= 2; row += 2) micro_xor<2>(tile, panel, row);
    for (; row < tile.rows; ++row) micro_xor<1>(tile, panel, row);
  }
}

void depthwise(const DepthwiseTile& tile) noexcept {
  for (std::int64_t column = 0; column < tile.columns; column += 8) {
    const __m256i mask = first_lanes(tile.columns - column);
    const __m256i init = load(tile.init + column);
    const __m256 scale = _mm256_loadu_ps(tile.scale + column);
    const __m256 bias = _mm256_loadu_ps(tile.bias + column);
    for (int row = 0; row < tile.rows; ++row) {
      const std::uint8_t* pixel = tile.pixels[row] + column;
      const std::int32_t* weights = tile.weights + column;
      __m256i sum = init;
      for (std::int64_t t = 0; t < tile.tap_count; ++t, weights += tile.weight_stride) {
        // The upper 16 bits of every activation are 0, so each pair of 16-bit products is one product.
        const __m256i activations = _mm256_cvtepu8_epi32(
            _mm_loadl_epi64(reinterpret_cast<const __m128i*>(pixel + tile.tap_offsets[t])));
        sum = _mm256_add_epi32(sum, _mm256_madd_epi16(activations, load(weights)));
      }
      store(tile.sums, tile.out, row * tile.out_stride + column, mask, sum, scale, bias);
    }
  }
}

void quantize(const QuantizeArgs& args) noexcept {
  const __m256 inverse_scale = _mm256_set1_ps(args.inverse_scale);
  const __m256 low = _mm256_set1_ps(static_cast<float>(-args.zero));
  const __m256 high = _mm256_set1_ps(static_cast<float>(255 - args.zero));
  const __m256i zero = _mm256_set1_epi32(args.zero);
  // Gathers the low byte of each 32-bit lane into the first 4 bytes of its 128-bit half.
  const __m256i low_bytes =
      _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 4, 8, 12, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1));
  for (std::int64_t row = 0; row < args.rows; ++row) {
    const float* x = args.x + row * args.x_stride;
    std::uint8_t* out = args.out + row * args.out_stride;
    for (std::int64_t c = 0; c < args.channels; c += 8) {
      const std::int64_t left = args.channels - c;
      const __m256 loaded = left >= 8 ? _mm256_loadu_ps(x + c) : _mm256_maskload_ps(x + c, first_lanes(left));
      const __m256 scaled = _mm256_mul_ps(loaded, inverse_scale);
      const __m256 number = _mm256_and_ps(scaled, _mm256_cmp_ps(scaled, scaled, _CMP_ORD_Q));
      const __m256 clipped = _mm256_min_ps(_mm256_max_ps(number, low), high);
      const __m256i integers = _mm256_add_epi32(_mm256_cvtps_epi32(clipped), zero);
      const __m256i bytes = _mm256_shuffle_epi8(integers, low_bytes);
      const __m128i joined =
          _mm_unpacklo_epi32(_mm256_castsi256_si128(bytes), _mm256_extracti128_si256(bytes, 1));
      if (left >= 8) {
        _mm_storel_epi64(reinterpret_cast<__m128i*>(out + c), joined);
      } else {
        alignas(16) std::uint8_t tail[16];
        _mm_store_si128(reinterpret_cast<__m128i*>(tail), joined);
        for (int i = 0; i < left; ++i) out[c + i] = tail[i];
      }
    }
  }
}

void binarize(const QuantizeArgs& args) noexcept {
  for (std::int64_t row = 0; row < args.rows; ++row) {
    const float* x = args.x + row * args.x_stride;
    std::uint8_t* out = args.out + row * args.out_stride;
    const std::int64_t bytes = (args.channels + 31) / 32 * 4;
    for (std::int64_t byte = 0; byte < bytes; ++byte) {
      const __m256i mask = first_lanes(args.channels - 8 * byte);
      const __m256 loaded = _mm256_maskload_ps(x + 8 * byte, mask);
      const __m256 threshold = _mm256_maskload_ps(args.threshold + 8 * byte, mask);
      const __m256 reached =
          _mm256_and_ps(_mm256_cmp_ps(loaded, threshold, _CMP_GE_OQ), _mm256_castsi256_ps(mask));
      out[byte] = static_cast<std::uint8_t>(_mm256_movemask_ps(reached));
    }
  }
}

}  // namespace

extern const Implementation kAvx2 = {
    "avx2",
    kAvx2Feature,
    20.0,
    {zero_upper<tile_int8, Tile>, zero_upper<tile_small<Int4>, Tile>, zero_upper<tile_small<Ternary>, Tile>,
     zero_upper<tile_small<Binary>, Tile>, zero_upper<tile_xor, Tile>},
    zero_upper<depthwise, DepthwiseTile>,
    zero_upper<quantize, QuantizeArgs>,
    zero_upper<binarize, QuantizeArgs>,
    zero_upper<finish_avx2, FinishArgs>,
    zero_upper<pool_avx2, PoolArgs>,
};

}  // namespace mpsearch
