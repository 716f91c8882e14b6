// Integer weights -> the layouts of contract.hpp.
#pragma once

#include <cstdint>
#include <vector>

#include "aligned_buffer.hpp"
#include "contract.hpp"

namespace mpsearch {

// Weights as the framework holds them: [group][column][channel][tap], row-major.
struct WeightView {
  const std::int8_t* data;
  std::int64_t groups;
  std::int64_t columns;   // output channels per group
  std::int64_t channels;  // input channels per group
  std::int64_t taps;

  int at(std::int64_t group, std::int64_t column, std::int64_t channel, std::int64_t tap) const noexcept {
    return data[((group * columns + column) * channels + channel) * taps + tap];
  }
};

// Activation bytes per tap in that layout.
std::int64_t tap_bytes(Layout layout, std::int64_t channels) noexcept;

// Each `taps` taps that follow one another become channels, the first tap's first.
std::vector<std::int8_t> fold_weights(const WeightView& weights, std::int64_t taps);

AlignedBuffer<std::uint8_t> pack_weights(const WeightView& weights, Layout layout);

}  // namespace mpsearch
