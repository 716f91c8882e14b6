// Whole numbers rounded up.
#pragma once

#include <cstdint>

namespace mpsearch {

constexpr std::int64_t divide_up(std::int64_t value, std::int64_t unit) noexcept {
  return (value + unit - 1) / unit;
}
constexpr std::int64_t round_up(std::int64_t value, std::int64_t unit) noexcept {
  return divide_up(value, unit) * unit;
}

}  // namespace mpsearch
