// Kernels for x86 with AVX-512 F, BW, DQ, VL, VNNI, VPOPCNTDQ, VBMI and GFNI. See contract.hpp.
//
// Output-stationary: one zmm register holds the sums of one pixel for 16 output channels; four activations
// (or 32 bits of them) are broadcast against it. Tiles of 8 pixels x 2 panels, 4 x 4 and smaller keep at most
// 16 accumulators, so that nothing spills.
//
// This file is compiled with instructions that the machine may lack: it holds no function that the linker
// could merge with another file's (everything is in an anonymous namespace, nothing from the C++ library).
#include <immintrin.h>

#include <cstddef>

#include "avx512_lanes.hpp"
#include "avx512_pairs.hpp"
#include "contract.hpp"
#include "cpu_features.hpp"
#include "zero_upper.hpp"

namespace mpsearch {
namespace {

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
    ternary_row_avx512(tile);
  } else if constexpr (W::layout == Layout::kBinary) {
    binary_row_avx512(tile);
  } else {
    sweep<W, 1, 4>(tile);
  }
}

}  // namespace

extern const Implementation kAvx512 = {
    "avx512",
    kAvx512fFeature | kAvx512bwFeature | kAvx512dqFeature | kAvx512vlFeature | kAvx512VnniFeature |
        kAvx512VpopcntdqFeature | kAvx512VbmiFeature | kGfniFeature,
    100.0,
    {zero_upper<tile<Int8>, Tile>, zero_upper<tile<Int4>, Tile>, zero_upper<tile<Ternary>, Tile>,
     zero_upper<tile<Binary>, Tile>, zero_upper<tile<Xor>, Tile>},
    zero_upper<depthwise_avx512, DepthwiseTile>,
    zero_upper<quantize_avx512, QuantizeArgs>,
    zero_upper<binarize_avx512, QuantizeArgs>,
    zero_upper<finish_avx512, FinishArgs>,
    zero_upper<pool_avx512, PoolArgs>,
};

}  // namespace mpsearch
