// Height or width of a convolution, and what one input size makes of it.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

namespace mpsearch {

// Most that a kernel, stride, padding or dilation may be: sums and products of them stay far from overflow.
inline constexpr std::int64_t kLongestAxis = 1 << 20;

struct Axis {
  std::int64_t kernel;
  std::int64_t stride;
  std::int64_t padding;
  std::int64_t dilation;

  // At most 0 if the kernel does not fit.
  std::int64_t out_size(std::int64_t size) const noexcept {
    const std::int64_t room = size + 2 * padding - dilation * (kernel - 1) - 1;
    return room < 0 ? 0 : room / stride + 1;
  }
};

// Places of the output that see the same valid taps form a border class.
struct AxisPlan {
  std::int64_t in_size = 0;
  std::int64_t padded_size = 0;
  std::int64_t out_size = 0;
  std::vector<std::int32_t> border_class;                         // by output place
  std::vector<std::pair<std::int64_t, std::int64_t>> valid_taps;  // by class: first, one past last

  void build(const Axis& axis, std::int64_t in_size);
};

}  // namespace mpsearch
