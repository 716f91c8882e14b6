// Portable kernels: what every other implementation must agree with. See contract.hpp.
#include "contract.hpp"

namespace mpsearch {
namespace {

// Decodes one block to weights[k][lane], k in 0..unit - 1.

struct Int8 {
  static constexpr Layout layout = Layout::kInt8;
  static int weight(const std::uint8_t* block, int lane, int k) noexcept {
    return static_cast<std::int8_t>(block[4 * lane + k]);
  }
};

struct Int4 {
  static constexpr Layout layout = Layout::kInt4;
  static int weight(const std::uint8_t* block, int lane, int k) noexcept {
    return ((block[4 * lane + k % 4] >> (4 * (k / 4)) & 0xf) ^ 8) - 8;
  }
};

struct Ternary {
  static constexpr Layout layout = Layout::kTernary;
  static int weight(const std::uint8_t* block, int lane, int k) noexcept {
    return ((block[4 * lane + k % 4] >> (2 * (k / 4)) & 0x3) ^ 2) - 2;
  }
};

struct Binary {
  static constexpr Layout layout = Layout::kBinary;
  static int weight(const std::uint8_t* block, int lane, int k) noexcept {
    const int bit = 4 * lane + k;
    return (block[bit / 8] >> (bit % 8) & 1) != 0 ? 1 : -1;
  }
};

void store(const Tile& tile, int row, int column, std::int32_t sum) noexcept {
  const std::ptrdiff_t at = row * tile.out_stride + column;
  if (tile.sums != nullptr) {
    tile.sums[at] = sum;
  } else {
    tile.out[at] = static_cast<float>(sum) * tile.scale[column] + tile.bias[column];
  }
}

void store_panel(const Tile& tile, const std::int32_t (&sums)[kTileRows][kPanel], int panel) noexcept {
  for (int row = 0; row < tile.rows; ++row) {
    for (int lane = 0; lane < kPanel && panel * kPanel + lane < tile.columns; ++lane) {
      const int column = panel * kPanel + lane;
      store(tile, row, column, tile.init[row][tile.init_column + column] + sums[row][lane]);
    }
  }
}

template <class W>
void tile(const Tile& tile) noexcept {
  constexpr LayoutInfo info = kLayouts[static_cast<int>(W::layout)];
  for (int panel = 0; panel * kPanel < tile.columns; ++panel) {
    std::int32_t sums[kTileRows][kPanel] = {};
    const std::uint8_t* block = tile.weights + static_cast<std::size_t>(panel) * tile.panel_bytes;
    for (std::int64_t t = 0; t < tile.tap_count; ++t) {
      for (std::int64_t k = 0; k < tile.tap_bytes; k += info.unit, block += info.block) {
        std::int16_t weights[info.unit][kPanel];
        for (int i = 0; i < info.unit; ++i) {
          for (int lane = 0; lane < kPanel; ++lane) {
            weights[i][lane] = static_cast<std::int16_t>(W::weight(block, lane, i));
          }
        }
        for (int row = 0; row < tile.rows; ++row) {
          const std::uint8_t* activations = tile.pixels[row] + tile.tap_offsets[t] + k;
          for (int i = 0; i < info.unit; ++i) {
            const int activation = activations[i];
            for (int lane = 0; lane < kPanel; ++lane) sums[row][lane] += activation * weights[i][lane];
          }
        }
      }
    }
    store_panel(tile, sums, panel);
  }
}

void tile_xor(const Tile& tile) noexcept {
  for (int panel = 0; panel * kPanel < tile.columns; ++panel) {
    std::int32_t sums[kTileRows][kPanel] = {};
    const std::uint8_t* block = tile.weights + static_cast<std::size_t>(panel) * tile.panel_bytes;
    for (std::int64_t t = 0; t < tile.tap_count; ++t) {
      for (std::int64_t k = 0; k < tile.tap_bytes; k += 4, block += 64) {
        std::uint32_t weights[kPanel];
        __builtin_memcpy(weights, block, sizeof weights);
        for (int row = 0; row < tile.rows; ++row) {
          std::uint32_t activations;
          __builtin_memcpy(&activations, tile.pixels[row] + tile.tap_offsets[t] + k, sizeof activations);
          for (int lane = 0; lane < kPanel; ++lane) {
            sums[row][lane] -= 2 * __builtin_popcount(activations ^ weights[lane]);
          }
        }
      }
    }
    store_panel(tile, sums, panel);
  }
}

void depthwise(const DepthwiseTile& tile) noexcept {
  for (int row = 0; row < tile.rows; ++row) {
    const std::uint8_t* pixel = tile.pixels[row];
    for (std::int64_t column = 0; column < tile.columns; ++column) {
      std::int32_t sum = tile.init[column];
      for (std::int64_t t = 0; t < tile.tap_count; ++t) {
        sum += pixel[tile.tap_offsets[t] + column] * tile.weights[t * tile.weight_stride + column];
      }
      const std::ptrdiff_t at = row * tile.out_stride + column;
      if (tile.sums != nullptr) {
        tile.sums[at] = sum;
      } else {
        tile.out[at] = static_cast<float>(sum) * tile.scale[column] + tile.bias[column];
      }
    }
  }
}

void quantize(const QuantizeArgs& args) noexcept {
  const float low = static_cast<float>(-args.zero);
  const float high = static_cast<float>(255 - args.zero);
  // Adding 1.5 * 2^23 leaves no bits for a fraction: the sum rounds half to even.
  constexpr float kRound = 12582912.0f;
  for (std::int64_t row = 0; row < args.rows; ++row) {
    const float* x = args.x + row * args.x_stride;
    std::uint8_t* out = args.out + row * args.out_stride;
    for (std::int64_t c = 0; c < args.channels; ++c) {
      const float scaled = x[c] * args.inverse_scale;
      const float number = scaled == scaled ? scaled : 0.0f;
      const float clipped = number < low ? low : number > high ? high : number;
      out[c] = static_cast<std::uint8_t>(static_cast<int>((clipped + kRound) - kRound) + args.zero);
    }
  }
}

void binarize(const QuantizeArgs& args) noexcept {
  for (std::int64_t row = 0; row < args.rows; ++row) {
    const float* x = args.x + row * args.x_stride;
    std::uint8_t* out = args.out + row * args.out_stride;
    for (std::int64_t c = 0; c < args.channels; c += 32, out += 4) {
      for (int byte = 0; byte < 4; ++byte) {
        unsigned bits = 0;
        for (int bit = 0; bit < 8 && c + 8 * byte + bit < args.channels; ++bit) {
          const std::int64_t channel = c + 8 * byte + bit;
          bits |= static_cast<unsigned>(x[channel] >= args.threshold[channel]) << bit;
        }
        out[byte] = static_cast<std::uint8_t>(bits);
      }
    }
  }
}

}  // namespace

extern const Implementation kScalar = {
    "scalar",      0,        2.0,      {tile<Int8>, tile<Int4>, tile<Ternary>, tile<Binary>, tile_xor},
    depthwise,     quantize, binarize, finish_portably,
    pool_portably,
};

}  // namespace mpsearch
