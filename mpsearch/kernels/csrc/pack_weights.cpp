#include "pack_weights.hpp"

#include "rounding.hpp"

namespace mpsearch {
namespace {

// Puts weight `k` of a unit (channel k of it), for one lane, into its block.
void put(Layout layout, std::uint8_t* block, int lane, int k, int weight) noexcept {
  const int byte = 4 * lane + k % 4;
  const int part = k / 4;
  switch (layout) {
    case Layout::kInt8:
      block[byte] = static_cast<std::uint8_t>(weight);
      break;
    case Layout::kInt4:
      block[byte] = static_cast<std::uint8_t>(block[byte] | (weight & 0xf) << (4 * part));
      break;
    case Layout::kTernary:
      block[byte] = static_cast<std::uint8_t>(block[byte] | (weight & 0x3) << (2 * part));
      break;
    case Layout::kBinary:
      block[byte / 8] = static_cast<std::uint8_t>(block[byte / 8] | (weight > 0) << (byte % 8));
      break;
    case Layout::kXor:
      block[4 * lane + k / 8] = static_cast<std::uint8_t>(block[4 * lane + k / 8] | (weight > 0) << (k % 8));
      break;
  }
}

}  // namespace

std::int64_t tap_bytes(Layout layout, std::int64_t channels) noexcept {
  const std::int64_t bytes = layout == Layout::kXor ? (channels + 7) / 8 : channels;
  return round_up(bytes, kLayouts[static_cast<int>(layout)].unit);
}

std::vector<std::int8_t> fold_weights(const WeightView& weights, std::int64_t taps) {
  std::vector<std::int8_t> folded;
  folded.reserve(
      static_cast<std::size_t>(weights.groups * weights.columns * weights.channels * weights.taps));
  for (std::int64_t column = 0; column < weights.groups * weights.columns; ++column) {
    for (std::int64_t tap = 0; tap < taps; ++tap) {
      for (std::int64_t channel = 0; channel < weights.channels; ++channel) {
        for (std::int64_t line = 0; line < weights.taps; line += taps) {
          folded.push_back(static_cast<std::int8_t>(weights.at(0, column, channel, line + tap)));
        }
      }
    }
  }
  return folded;
}

AlignedBuffer<std::uint8_t> pack_weights(const WeightView& weights, Layout layout) {
  const LayoutInfo info = kLayouts[static_cast<int>(layout)];
  const std::int64_t channels_per_unit = layout == Layout::kXor ? 32 : info.unit;
  const std::int64_t units = tap_bytes(layout, weights.channels) / info.unit;
  const std::int64_t panels = (weights.columns + kPanel - 1) / kPanel;
  AlignedBuffer<std::uint8_t> packed(
      static_cast<std::size_t>(weights.groups * panels * weights.taps * units * info.block));
  for (std::int64_t group = 0; group < weights.groups; ++group) {
    for (std::int64_t column = 0; column < weights.columns; ++column) {
      const std::int64_t panel = group * panels + column / kPanel;
      const int lane = static_cast<int>(column % kPanel);
      for (std::int64_t channel = 0; channel < weights.channels; ++channel) {
        for (std::int64_t tap = 0; tap < weights.taps; ++tap) {
          const std::int64_t unit = (panel * weights.taps + tap) * units + channel / channels_per_unit;
          put(layout, packed.data() + unit * info.block, lane, static_cast<int>(channel % channels_per_unit),
              weights.at(group, column, channel, tap));
        }
      }
    }
  }
  return packed;
}

}  // namespace mpsearch
