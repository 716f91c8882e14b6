// Kernels for x86 with AVX-512 F, BW, DQ, VL, VNNI and VPOPCNTDQ. See contract.hpp.
//
// Output-stationary: one zmm register holds the sums of one pixel for 16 output channels; four activations
// (or 32 bits of them) are broadcast against it. Tiles of 8 pixels x 2 panels, 4 x 4 and smaller keep at most
// 16 accumulators, so that nothing spills.
//
// This file is compiled with instructions that the machine may lack: it holds no function that the linker
// could merge with another file's (everything is in an anonymous namespace, nothing from the C++ library).
#include <immintrin.h>

#include <cstddef>

#include "avx512_pairs.hpp"
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

__m512 scaled(__m512i sum, __m512 scale, __m512 bias) noexcept {
  return _mm512_add_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(sum), scale), bias);
}

void store(std::int32_t* sums, float* out, std::ptrdiff_t at, __mmask16 mask, __m512i sum, __m512 scale,
           __m512 bias) noexcept {
  if (sums != nullptr) {
    _mm512_mask_storeu_epi32(sums + at, mask, sum);
  } else {
    _mm512_mask_storeu_ps(out + at, mask, scaled(sum, scale, bias));
  }
}

// As assembly, because gcc 12 otherwise moves the steps of a loop apart and spills accumulators.
__m512i dot(__m512i sum, __m512i activations, __m512i weights) noexcept {
  __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(activations), "v"(weights));
  return sum;
}

// A layout, as a kernel sees it: load a block, decode part `S` of it, add its products, finish the sum.
// 4-bit and ternary weights are decoded to the top bits of a byte: signed at no cost, 16 or 64 times too
// large.

template <int Shift>
struct Bytes {
  static __m512i add(__m512i sum, __m512i activations, __m512i weights) noexcept {
    return dot(sum, activations, weights);
  }
  static __m512i finish(__m512i init, __m512i sum) noexcept {
    return _mm512_add_epi32(init, _mm512_srai_epi32(sum, Shift));
  }
};

// What becomes of an accumulator: the sum, and the float before the bias.
template <class W>
struct Finish {
  static __m512 scale(__m512 scale) noexcept { return scale; }
  static __m512i sum(const std::int32_t* init, __m512i accumulator) noexcept {
    return W::finish(_mm512_loadu_si512(init), accumulator);
  }
  static __m512 product(const std::int32_t* init, __m512i accumulator, __m512 scale) noexcept {
    return _mm512_mul_ps(_mm512_cvtepi32_ps(sum(init, accumulator)), scale);
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
  static __m512i add(__m512i sum, __m512i activations, __m512i weights) noexcept {
    return _mm512_add_epi32(sum, _mm512_popcnt_epi32(_mm512_xor_si512(activations, weights)));
  }
  static __m512i finish(__m512i init, __m512i sum) noexcept {
    return _mm512_sub_epi32(init, _mm512_add_epi32(sum, sum));
  }
};

// A tile's numbers, from a buffer that holds more rows or columns than the output.
void copy_part(const std::int32_t* numbers, std::ptrdiff_t stride, int rows, int columns, std::int32_t* out,
               std::ptrdiff_t out_stride) noexcept {
  for (int i = 0; i < rows; ++i) {
    for (int column = 0; column < columns; column += kPanel) {
      const __m512i panel = _mm512_loadu_si512(numbers + i * stride + column);
      _mm512_mask_storeu_epi32(out + i * out_stride + column, first_lanes(columns - column), panel);
    }
  }
}

template <class Finish, int Rows, int Panels>
void store_tile(const Tile& tile, int first_panel, const __m512i (&sums)[Rows][Panels]) noexcept {
  constexpr int kColumns = Panels * kPanel;
  const int column = first_panel * kPanel;
  const int columns = tile.columns - column;
  const bool is_whole = tile.rows >= Rows && columns >= kColumns;
  std::int32_t buffer[Rows * kColumns];
  void* const start = tile.sums != nullptr ? static_cast<void*>(tile.sums) : tile.out;
  std::int32_t* const out = static_cast<std::int32_t*>(start) + column;
  std::int32_t* row = is_whole ? out : buffer;
  const std::ptrdiff_t stride = is_whole ? tile.out_stride : kColumns;
  const std::int32_t* const* const init = tile.init;
  const std::ptrdiff_t init_column = tile.init_column + column;
  if (tile.sums != nullptr) {
    for (int i = 0; i < Rows; ++i, row += stride) {
      for (int j = 0; j < Panels; ++j) {
        _mm512_storeu_si512(row + j * kPanel, Finish::sum(init[i] + init_column + j * kPanel, sums[i][j]));
      }
    }
  } else {
    __m512 scale[Panels];
    __m512 bias[Panels];
    for (int j = 0; j < Panels; ++j) {
      scale[j] = Finish::scale(_mm512_loadu_ps(tile.scale + column + j * kPanel));
      bias[j] = _mm512_loadu_ps(tile.bias + column + j * kPanel);
    }
    for (int i = 0; i < Rows; ++i, row += stride) {
      for (int j = 0; j < Panels; ++j) {
        const __m512 product = Finish::product(init[i] + init_column + j * kPanel, sums[i][j], scale[j]);
        _mm512_storeu_ps(row + j * kPanel, _mm512_add_ps(product, bias[j]));
      }
    }
  }
  if (!is_whole) {
    copy_part(buffer, kColumns, tile.rows < Rows ? tile.rows : Rows, columns < kColumns ? columns : kColumns,
              out, tile.out_stride);
  }
}

template <class W, int S, int Rows, int Panels>
void add_part(__m512i (&sums)[Rows][Panels], const typename W::Block (&blocks)[Panels],
              const std::uint8_t* const (&rows)[Rows], std::ptrdiff_t k) noexcept {
  __m512i weights[Panels];
  for (int j = 0; j < Panels; ++j) weights[j] = W::template decode<S>(blocks[j]);
  for (int i = 0; i < Rows; ++i) {
    const __m512i activations = _mm512_set1_epi32(static_cast<int>(load_u32(rows[i] + k + 4 * S)));
    for (int j = 0; j < Panels; ++j) sums[i][j] = W::add(sums[i][j], activations, weights[j]);
  }
}

// Makes the compiler forget what it knows of an index: it then adds it to each row's address within the
// load, instead of counting up a pointer per row.
void forget(std::ptrdiff_t& index) noexcept { __asm__("" : "+r"(index)); }

// Few rows read each weight once: ask for it 1 KiB ahead, near the end of these panels for the panels after
// them.
template <int Panels>
void prefetch(const std::uint8_t* weights, const std::uint8_t* end, std::size_t panel_bytes) noexcept {
  constexpr std::ptrdiff_t kAhead = 1024;
  const std::uint8_t* ahead = weights + kAhead;
  if (end - weights <= kAhead) ahead += (Panels - 1) * panel_bytes;
  for (int j = 0; j < Panels; ++j) {
    _mm_prefetch(reinterpret_cast<const char*>(ahead + static_cast<std::size_t>(j) * panel_bytes),
                 _MM_HINT_T0);
  }
}

// Rows x Panels accumulators; `tile.rows` may be fewer, then the others are computed and not stored.
template <class W, int Rows, int Panels>
void micro(const Tile& tile, int first_panel) noexcept {
  constexpr LayoutInfo info = kLayouts[static_cast<int>(W::layout)];
  __m512i sums[Rows][Panels];
  const std::uint8_t* rows[Rows];
  for (int i = 0; i < Rows; ++i) {
    rows[i] = tile.pixels[i];
    for (int j = 0; j < Panels; ++j) sums[i][j] = _mm512_setzero_si512();
  }
  const std::size_t panel_bytes = tile.panel_bytes;
  const std::uint8_t* weights = tile.weights + static_cast<std::size_t>(first_panel) * panel_bytes;
  [[maybe_unused]] const std::uint8_t* const end_weights = weights + panel_bytes;
  std::int64_t tap = 0;
  std::ptrdiff_t k = tile.tap_offsets[0];
  std::ptrdiff_t end = k + tile.tap_bytes;
  for (;;) {  // one loop over taps and units: two would keep too much in registers
    typename W::Block blocks[Panels];
    for (int j = 0; j < Panels; ++j) {
      blocks[j] = W::load(weights + static_cast<std::size_t>(j) * panel_bytes);
    }
    if constexpr (Rows <= 2) prefetch<Panels>(weights, end_weights, panel_bytes);
    weights += info.block;
    add_part<W, 0>(sums, blocks, rows, k);
    if constexpr (info.unit >= 8) add_part<W, 1>(sums, blocks, rows, k);
    if constexpr (info.unit >= 16) {
      add_part<W, 2>(sums, blocks, rows, k);
      add_part<W, 3>(sums, blocks, rows, k);
    }
    k += info.unit;
    forget(k);
    if (k >= end) {
      if (++tap == tile.tap_count) break;
      k = tile.tap_offsets[tap];
      end = k + tile.tap_bytes;
    }
  }
  store_tile<Finish<W>>(tile, first_panel, sums);
}

// Activations of a pixel that meet parts 0 to 2 of a ternary block.
std::int32_t sum_of_low_parts(const Tile& tile) noexcept {
  const __m512i ones = _mm512_broadcast_i32x4(_mm_setr_epi8(1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0));
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
    const __m512i first = _mm512_sub_epi32(_mm512_loadu_si512(tile.init[0] + tile.init_column + column), correction);
    store(tile.sums, tile.out, column, first_lanes(tile.columns - column),
          _mm512_add_epi32(first, _mm512_add_epi32(low, high)), _mm512_loadu_ps(tile.scale + column),
          _mm512_loadu_ps(tile.bias + column));
  }
}

void ternary_row(const Tile& tile) noexcept {
  const __m512i correction = _mm512_set1_epi32(2 * sum_of_low_parts(tile));
  const int panels = (tile.columns + kPanel - 1) / kPanel;
  int panel = 0;
  for (; panel + 4 <= panels; panel += 4) ternary_row<4>(tile, panel, correction);
  for (; panel < panels; ++panel) ternary_row<1>(tile, panel, correction);
}

// All pairs of panels that are whole; returns the panels done. More than 4 rows, floats.
template <class W, bool HasHalves>
int pairs(const Tile& tile) noexcept {
  constexpr int kColumns = 2 * kPanel;
  constexpr std::ptrdiff_t kBytes = sizeof(float);
  PairArgs args{};
  args.pixels = tile.pixels;
  args.init = tile.init;
  args.init_offset = (tile.init_column + (W::layout == Layout::kXor ? tile.half_offset : 0)) * kBytes;
  args.is_init_shared = tile.is_init_shared;
  args.tap = tile.tap_offsets;
  args.end_tap = tile.tap_offsets + tile.tap_count;
  args.tap_bytes = tile.tap_bytes;
  args.weights = tile.weights;
  args.panel_bytes = tile.panel_bytes;
  args.scale = tile.scale;
  args.bias = tile.bias;
  float buffer[8 * kColumns];
  const bool is_whole = tile.rows == 8;
  args.out = is_whole ? tile.out : buffer;
  args.out_stride = (is_whole ? tile.out_stride : kColumns) * kBytes;
  int column = 0;
  for (; column + kColumns <= tile.columns; column += kColumns) {
    pair<W::layout, HasHalves>(args);
    args.init_offset += kColumns * kBytes;
    args.weights += 2 * args.panel_bytes;
    args.scale += kColumns;
    args.bias += kColumns;
    if (is_whole) {
      args.out += kColumns;
      continue;
    }
    for (int i = 0; i < tile.rows; ++i) {
      float* out = tile.out + i * tile.out_stride + column;
      _mm512_storeu_ps(out, _mm512_loadu_ps(buffer + i * kColumns));
      _mm512_storeu_ps(out + kPanel, _mm512_loadu_ps(buffer + i * kColumns + kPanel));
    }
  }
  return column / kPanel;
}

template <class W, int Rows, int MaxPanels>
void sweep(const Tile& tile, int panel = 0) noexcept {
  const int panels = (tile.columns + kPanel - 1) / kPanel;
  for (; panel + MaxPanels <= panels; panel += MaxPanels) micro<W, Rows, MaxPanels>(tile, panel);
  if constexpr (MaxPanels > 2) {
    for (; panel + 2 <= panels; panel += 2) micro<W, Rows, 2>(tile, panel);
  }
  for (; panel < panels; ++panel) micro<W, Rows, 1>(tile, panel);
}

template <class W>
void tile(const Tile& tile) noexcept {
  if (tile.rows > 4) {
    int panel = 0;
    if (tile.sums == nullptr) {
      const bool has_halves = W::layout != Layout::kXor || tile.half_offset != 0;
      panel = has_halves ? pairs<W, true>(tile) : pairs<W, W::layout != Layout::kXor>(tile);
    }
    sweep<W, 8, 2>(tile, panel);
  } else if (tile.rows > 2) {
    sweep<W, 4, 4>(tile);
  } else if (tile.rows == 2) {
    sweep<W, 2, 4>(tile);
  } else if constexpr (W::layout == Layout::kTernary) {
    ternary_row(tile);
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
      const __m128i bytes = _mm512_cvtepi32_epi8(integers);
      if (args.channels - c >= 16) {
        _mm_storeu_si128(reinterpret_cast<__m128i*>(out + c), bytes);
      } else {
        _mm_mask_storeu_epi8(out + c, mask, bytes);
      }
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
    finish_avx512,
    pool_avx512,
};

}  // namespace mpsearch
