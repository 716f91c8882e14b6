// Kernels for x86 with AVX-512 F, BW, DQ, VL, VNNI and VPOPCNTDQ. See contract.hpp.
//
// Output-stationary: one zmm register holds the sums of one pixel for 16 output channels; four activations
// (or 32 bits of them) are broadcast against it. Tiles of 8 pixels x 2 panels, 4 x 4 and smaller keep at most
// 16 accumulators, so that nothing spills.
//
// This file is compiled with instructions that the machine may lack: it holds no function that the linker
// could merge with another file's (everything is in an anonymous namespace, nothing from the C++ library).
#include <immintrin.h>

#include "contract.hpp"
#include "cpu_features.hpp"

namespace mpsearch {
namespace {

std::uint32_t load_u32(const std::uint8_t* bytes) noexcept {
  std::uint32_t value;
  __builtin_memcpy(&value, bytes, sizeof value);
  return value;
}

std::uint64_t load_u64(const std::uint8_t* bytes) noexcept {
  std::uint64_t value;
  __builtin_memcpy(&value, bytes, sizeof value);
  return value;
}

__mmask16 first_lanes(std::int64_t count) noexcept {
  return count >= 16 ? __mmask16(0xffff) : static_cast<__mmask16>((1u << count) - 1);
}

void store(std::int32_t* sums, float* out, std::ptrdiff_t at, __mmask16 mask, __m512i sum, __m512 scale,
           __m512 bias) noexcept {
  if (sums != nullptr) {
    _mm512_mask_storeu_epi32(sums + at, mask, sum);
  } else {
    _mm512_mask_storeu_ps(out + at, mask, _mm512_add_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(sum), scale), bias));
  }
}

__m512i dot(__m512i sum, std::uint32_t activations, __m512i weights) noexcept {
  return _mm512_dpbusd_epi32(sum, _mm512_set1_epi32(static_cast<int>(activations)), weights);
}

// A layout, as a kernel sees it: load a block, decode part `S` of it, add its products, finish the sum.
// 4-bit and ternary weights are decoded to the top bits of a byte: signed at no cost, 16 or 64 times too
// large.

template <int Shift>
struct Bytes {
  static __m512i add(__m512i sum, std::uint32_t activations, __m512i weights) noexcept {
    return dot(sum, activations, weights);
  }
  static __m512i finish(__m512i init, __m512i sum) noexcept {
    return _mm512_add_epi32(init, _mm512_srai_epi32(sum, Shift));
  }
};

struct Int8 : Bytes<0> {
  static constexpr Layout layout = Layout::kInt8;
  using Block = __m512i;
  static Block load(const std::uint8_t* block) noexcept { return _mm512_loadu_si512(block); }
  template <int S>
  static __m512i decode(Block block) noexcept {
    return block;
  }
};

struct Int4 : Bytes<4> {
  static constexpr Layout layout = Layout::kInt4;
  using Block = __m512i;
  static Block load(const std::uint8_t* block) noexcept { return _mm512_loadu_si512(block); }
  template <int S>
  static __m512i decode(Block block) noexcept {
    return _mm512_and_si512(_mm512_slli_epi16(block, 4 - 4 * S), _mm512_set1_epi8(static_cast<char>(0xf0)));
  }
};

struct Ternary : Bytes<6> {
  static constexpr Layout layout = Layout::kTernary;
  using Block = __m512i;
  static Block load(const std::uint8_t* block) noexcept { return _mm512_loadu_si512(block); }
  template <int S>
  static __m512i decode(Block block) noexcept {
    return _mm512_and_si512(_mm512_slli_epi16(block, 6 - 2 * S), _mm512_set1_epi8(static_cast<char>(0xc0)));
  }
};

struct Binary : Bytes<0> {
  static constexpr Layout layout = Layout::kBinary;
  using Block = __mmask64;
  static Block load(const std::uint8_t* block) noexcept { return static_cast<__mmask64>(load_u64(block)); }
  template <int S>
  static __m512i decode(Block block) noexcept {
    return _mm512_mask_blend_epi8(block, _mm512_set1_epi8(-1), _mm512_set1_epi8(1));
  }
};

struct Xor {
  static constexpr Layout layout = Layout::kXor;
  using Block = __m512i;
  static Block load(const std::uint8_t* block) noexcept { return _mm512_loadu_si512(block); }
  template <int S>
  static __m512i decode(Block block) noexcept {
    return block;
  }
  static __m512i add(__m512i sum, std::uint32_t activations, __m512i weights) noexcept {
    const __m512i differences = _mm512_xor_si512(_mm512_set1_epi32(static_cast<int>(activations)), weights);
    return _mm512_add_epi32(sum, _mm512_popcnt_epi32(differences));
  }
  static __m512i finish(__m512i init, __m512i sum) noexcept {
    return _mm512_sub_epi32(init, _mm512_add_epi32(sum, sum));
  }
};

template <class W, int S, int Rows, int Panels>
void add_part(__m512i (&sums)[Rows][Panels], const typename W::Block (&blocks)[Panels],
              const std::uint8_t* const (&rows)[Rows], std::int64_t k) noexcept {
  __m512i weights[Panels];
  for (int j = 0; j < Panels; ++j) weights[j] = W::template decode<S>(blocks[j]);
  for (int i = 0; i < Rows; ++i) {
    const std::uint32_t activations = load_u32(rows[i] + k + 4 * S);
    for (int j = 0; j < Panels; ++j) sums[i][j] = W::add(sums[i][j], activations, weights[j]);
  }
}

// Rows x Panels accumulators; `tile.rows` may be fewer, then the last row is computed again and not stored.
template <class W, int Rows, int Panels>
void micro(const Tile& tile, int first_panel) noexcept {
  constexpr LayoutInfo info = kLayouts[static_cast<int>(W::layout)];
  __m512i sums[Rows][Panels];
  for (int i = 0; i < Rows; ++i) {
    for (int j = 0; j < Panels; ++j) sums[i][j] = _mm512_setzero_si512();
  }
  const std::uint8_t* weights = tile.weights + static_cast<std::size_t>(first_panel) * tile.panel_bytes;
  for (std::int64_t t = 0; t < tile.tap_count; ++t) {
    const std::uint8_t* rows[Rows];
    for (int i = 0; i < Rows; ++i) {
      const int row = i < tile.rows ? i : tile.rows - 1;
      rows[i] = tile.pixels[row] + tile.tap_offsets[t];
    }
    for (std::int64_t k = 0; k < tile.tap_bytes; k += info.unit) {
      typename W::Block blocks[Panels];
      for (int j = 0; j < Panels; ++j) {
        const std::uint8_t* block = weights + static_cast<std::size_t>(j) * tile.panel_bytes;
        if (Rows <= 2) _mm_prefetch(reinterpret_cast<const char*>(block + 1024), _MM_HINT_T0);
        blocks[j] = W::load(block);
      }
      weights += info.block;
      add_part<W, 0>(sums, blocks, rows, k);
      if constexpr (info.unit >= 8) add_part<W, 1>(sums, blocks, rows, k);
      if constexpr (info.unit >= 16) {
        add_part<W, 2>(sums, blocks, rows, k);
        add_part<W, 3>(sums, blocks, rows, k);
      }
    }
  }
  for (int j = 0; j < Panels; ++j) {
    const int column = (first_panel + j) * kPanel;
    const __mmask16 mask = first_lanes(tile.columns - column);
    const __m512 scale = _mm512_loadu_ps(tile.scale + column);
    const __m512 bias = _mm512_loadu_ps(tile.bias + column);
    for (int i = 0; i < Rows && i < tile.rows; ++i) {
      const __m512i sum = W::finish(_mm512_loadu_si512(tile.init[i] + column), sums[i][j]);
      store(tile.sums, tile.out, i * tile.out_stride + column, mask, sum, scale, bias);
    }
  }
}

template <class W, int Rows, int MaxPanels>
void sweep(const Tile& tile) noexcept {
  const int panels = (tile.columns + kPanel - 1) / kPanel;
  int panel = 0;
  for (; panel + MaxPanels <= panels; panel += MaxPanels) micro<W, Rows, MaxPanels>(tile, panel);
  if constexpr (MaxPanels > 2) {
    for (; panel + 2 <= panels; panel += 2) micro<W, Rows, 2>(tile, panel);
  }
  for (; panel < panels; ++panel) micro<W, Rows, 1>(tile, panel);
}

template <class W>
void tile(const Tile& tile) noexcept {
  if (tile.rows > 4) {
    sweep<W, 8, 2>(tile);
  } else if (tile.rows > 2) {
    sweep<W, 4, 4>(tile);
  } else if (tile.rows == 2) {
    sweep<W, 2, 4>(tile);
  } else {
    sweep<W, 1, 4>(tile);
  }
}

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

void depthwise(const DepthwiseTile& tile) noexcept {
  for (int row = 0; row < tile.rows; ++row) {
    std::int64_t column = 0;
    for (; column + 3 * kPanel < tile.columns; column += 4 * kPanel) depthwise_row<4>(tile, row, column);
    for (; column < tile.columns; column += kPanel) depthwise_row<1>(tile, row, column);
  }
}

void quantize(const QuantizeArgs& args) noexcept {
  const __m512 inverse_scale = _mm512_set1_ps(args.inverse_scale);
  const __m512 low = _mm512_set1_ps(static_cast<float>(-args.zero));
  const __m512 high = _mm512_set1_ps(static_cast<float>(255 - args.zero));
  const __m512i zero = _mm512_set1_epi32(args.zero);
  for (std::int64_t row = 0; row < args.rows; ++row) {
    const float* x = args.x + row * args.x_stride;
    std::uint8_t* out = args.out + row * args.out_stride;
    for (std::int64_t c = 0; c < args.channels; c += 16) {
      const __mmask16 mask = first_lanes(args.channels - c);
      const __m512 scaled = _mm512_mul_ps(_mm512_maskz_loadu_ps(mask, x + c), inverse_scale);
      const __mmask16 number = _mm512_cmp_ps_mask(scaled, scaled, _CMP_ORD_Q);
      const __m512 clipped = _mm512_min_ps(_mm512_max_ps(scaled, low), high);
      const __m512i integers = _mm512_add_epi32(_mm512_maskz_cvtps_epi32(number, clipped), zero);
      _mm512_mask_cvtepi32_storeu_epi8(out + c, mask, integers);
    }
  }
}

void binarize(const QuantizeArgs& args) noexcept {
  for (std::int64_t row = 0; row < args.rows; ++row) {
    const float* x = args.x + row * args.x_stride;
    std::uint8_t* out = args.out + row * args.out_stride;
    for (std::int64_t c = 0; c < args.channels; c += 32, out += 4) {
      const __mmask16 first = first_lanes(args.channels - c);
      const __mmask16 second = args.channels - c > 16 ? first_lanes(args.channels - c - 16) : __mmask16(0);
      const __mmask16 low =
          _mm512_mask_cmp_ps_mask(first, _mm512_maskz_loadu_ps(first, x + c),
                                  _mm512_maskz_loadu_ps(first, args.threshold + c), _CMP_GE_OQ);
      std::uint32_t bits = low;
      if (second != 0) {
        const __mmask16 high =
            _mm512_mask_cmp_ps_mask(second, _mm512_maskz_loadu_ps(second, x + c + 16),
                                    _mm512_maskz_loadu_ps(second, args.threshold + c + 16), _CMP_GE_OQ);
        bits |= static_cast<std::uint32_t>(high) << 16;
      }
      __builtin_memcpy(out, &bits, sizeof bits);
    }
  }
}

}  // namespace

extern const Implementation kAvx512 = {
    "avx512",
    kAvx512fFeature | kAvx512bwFeature | kAvx512dqFeature | kAvx512vlFeature | kAvx512VnniFeature |
        kAvx512VpopcntdqFeature,
    100.0,
    {tile<Int8>, tile<Int4>, tile<Ternary>, tile<Binary>, tile<Xor>},
    depthwise,
    quantize,
    binarize,
    finish_portably,
    pool_portably,
};

}  // namespace mpsearch
