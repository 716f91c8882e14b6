// The portable epilogue of tiles, and pooling: what every other implementation must agree with. See
// contract.hpp.
#include "contract.hpp"
#include "pool_lanes.hpp"

namespace mpsearch {
namespace {

float finished(const Epilogue& epilogue, float y, std::int64_t pixel, std::int64_t channel) noexcept {
  if (epilogue.multiplier != nullptr) {
    y = __builtin_fmaf(y, epilogue.multiplier[channel], epilogue.offset[channel]);
  }
  if (epilogue.residual != nullptr) y += epilogue.residual[pixel * epilogue.channels + channel];
  y = epilogue.low > y ? epilogue.low : y;
  return epilogue.high < y ? epilogue.high : y;
}

// Adding 1.5 * 2^23 leaves no bits for a fraction: the sum rounds half to even.
std::uint8_t quantized(const ImageTarget& image, float y) noexcept {
  constexpr float kRound = 12582912.0f;
  const float low = static_cast<float>(-image.zero);
  const float high = static_cast<float>(255 - image.zero);
  const float scaled = y * image.inverse_scale;
  const float number = scaled == scaled ? scaled : 0.0f;
  const float clipped = number < low ? low : number > high ? high : number;
  return static_cast<std::uint8_t>(static_cast<int>((clipped + kRound) - kRound) + image.zero);
}

// `y` holds the columns from first_column on.
void write(const ImageTarget& image, const float* y, std::int64_t pixel, std::int64_t first_column,
           int columns) noexcept {
  std::uint8_t* place = image.places[pixel];
  if (image.kind == ImageKind::kBytes) {
    for (int c = 0; c < columns; ++c) place[first_column + c] = quantized(image, y[c]);
    return;
  }
  const float* threshold = image.threshold + first_column;
  if (image.kind == ImageKind::kBinaryBytes) {
    for (int c = 0; c < columns; ++c) {
      place[first_column + c] = static_cast<std::uint8_t>((y[c] >= threshold[c]) << 1);
    }
    return;
  }
  place += first_column / 8;
  for (int word = 0; word < columns; word += kEpilogueUnit, place += 4) {
    for (int byte = 0; byte < 4; ++byte) {
      unsigned bits = 0;
      for (int bit = 0; bit < 8 && word + 8 * byte + bit < columns; ++bit) {
        const int c = word + 8 * byte + bit;
        bits |= static_cast<unsigned>(y[c] >= threshold[c]) << bit;
      }
      place[byte] = static_cast<std::uint8_t>(bits);
    }
  }
}

}  // namespace

void finish_portably(const FinishArgs& args) noexcept {
  const Epilogue& epilogue = *args.epilogue;
  for (int row = 0; row < args.rows; ++row) {
    const std::int64_t pixel = args.first_pixel + row;
    for (int begin = 0; begin < args.columns; begin += kEpilogueUnit) {
      const int count = args.columns - begin < kEpilogueUnit ? args.columns - begin : kEpilogueUnit;
      const std::int64_t channel = args.first_column + begin;
      float y[kEpilogueUnit];
      for (int c = 0; c < count; ++c) {
        y[c] = finished(epilogue, args.z[row * args.z_stride + begin + c], pixel, channel + c);
      }
      if (epilogue.out != nullptr) {
        for (int c = 0; c < count; ++c) epilogue.out[pixel * epilogue.channels + channel + c] = y[c];
      }
      for (int i = 0; i < epilogue.image_count; ++i) write(epilogue.images[i], y, pixel, channel, count);
    }
  }
}

void pool_portably(const PoolArgs& args) noexcept { pool_lanes(args); }

}  // namespace mpsearch
