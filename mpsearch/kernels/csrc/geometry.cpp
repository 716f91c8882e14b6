#include "geometry.hpp"

#include <algorithm>

namespace mpsearch {

void AxisPlan::build(const Axis& axis, std::int64_t size) {
  in_size = size;
  padded_size = size + 2 * axis.padding;
  out_size = axis.out_size(size);
  border_class.assign(static_cast<std::size_t>(out_size), 0);
  valid_taps.clear();
  for (std::int64_t place = 0; place < out_size; ++place) {
    std::pair<std::int64_t, std::int64_t> valid{0, 0};
    for (std::int64_t tap = 0; tap < axis.kernel; ++tap) {
      const std::int64_t at = place * axis.stride - axis.padding + tap * axis.dilation;
      if (at < 0 || at >= size) continue;
      if (valid.second == 0) valid.first = tap;
      valid.second = tap + 1;
    }
    const auto known = std::find(valid_taps.begin(), valid_taps.end(), valid);
    border_class[static_cast<std::size_t>(place)] = static_cast<std::int32_t>(known - valid_taps.begin());
    if (known == valid_taps.end()) valid_taps.push_back(valid);
  }
}

}  // namespace mpsearch
