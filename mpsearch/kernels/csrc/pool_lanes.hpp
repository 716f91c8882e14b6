// Pooling in vectors of 16 channels, compiled for the instruction set of the file that includes it.
#pragma once

#include "contract.hpp"

namespace mpsearch {
namespace {

using Lanes = float __attribute__((vector_size(64)));
constexpr std::int64_t kLanes = 16;

// The lanes beyond `count` become 0.
inline void load_lanes(Lanes& lanes, const float* from, std::int64_t count) noexcept {
  if (count >= kLanes) {
    __builtin_memcpy(&lanes, from, sizeof lanes);
  } else {
    lanes = Lanes{};
    __builtin_memcpy(&lanes, from, static_cast<std::size_t>(count) * sizeof(float));
  }
}

inline void store_lanes(float* to, const Lanes& lanes, std::int64_t count) noexcept {
  if (count >= kLanes) {
    __builtin_memcpy(to, &lanes, sizeof lanes);
  } else {
    __builtin_memcpy(to, &lanes, static_cast<std::size_t>(count) * sizeof(float));
  }
}

// Column `column` of the taps `first`, `first + step`, ...: `count` of them.
struct TapLanes {
  const PoolArgs& args;
  std::int64_t column;
  std::int64_t first;
  std::int64_t step;
  std::int64_t count;

  void load(Lanes& lanes, std::int64_t i) const noexcept {
    load_lanes(lanes, args.taps[first + i * step] + args.first_column + column, args.columns - column);
  }
};

inline void max_of(Lanes& result, const TapLanes& taps) noexcept {
  result = Lanes{} - __builtin_inff();
  for (std::int64_t i = 0; i < taps.count; ++i) {
    Lanes x;
    taps.load(x, i);
    result = ((x > result) | (x != x)) ? x : result;
  }
}

inline void sum_of(Lanes& result, const TapLanes& taps) noexcept {
  result = Lanes{};
  for (std::int64_t i = 0; i < taps.count; ++i) {
    Lanes x;
    taps.load(x, i);
    result += x;
  }
}

// torch's cascade (multi_row_sum in ATen/native/cpu/SumKernel.cpp): sums of at least 16 numbers, sums of so
// many sums, and so on, so that rounding errors grow slowly.
inline void cascade_sum_of(Lanes& result, const TapLanes& taps) noexcept {
  constexpr int kLevels = 4;
  int bits = 0;  // of count, rounded up
  while ((std::int64_t{1} << bits) < taps.count) ++bits;
  const int power = bits / kLevels > 4 ? bits / kLevels : 4;
  const std::int64_t step = std::int64_t{1} << power;
  Lanes sums[kLevels] = {};
  std::int64_t i = 0;
  while (i + step <= taps.count) {
    for (const std::int64_t end = i + step; i < end; ++i) {
      Lanes x;
      taps.load(x, i);
      sums[0] += x;
    }
    for (int level = 1; level < kLevels; ++level) {
      sums[level] += sums[level - 1];
      sums[level - 1] = Lanes{};
      if ((i & ((step - 1) << (level * power))) != 0) break;
    }
  }
  for (; i < taps.count; ++i) {
    Lanes x;
    taps.load(x, i);
    sums[0] += x;
  }
  result = sums[0];
  for (int level = 1; level < kLevels; ++level) result += sums[level];
}

// torch's order for the channels after the last whole 32: four interleaved cascades (row_sum, same file).
inline void interleaved_sum_of(Lanes& result, const PoolArgs& args, std::int64_t column) noexcept {
  constexpr std::int64_t kWays = 4;
  const std::int64_t rounds = args.tap_count / kWays;
  cascade_sum_of(result, {args, column, 0, kWays, rounds});
  for (std::int64_t i = rounds * kWays; i < args.tap_count; ++i) {
    Lanes x;
    load_lanes(x, args.taps[i] + args.first_column + column, args.columns - column);
    result += x;
  }
  for (std::int64_t way = 1; way < kWays; ++way) {
    Lanes sum;
    cascade_sum_of(sum, {args, column, way, kWays, rounds});
    result += sum;
  }
}

inline void pool_lanes(const PoolArgs& args) noexcept {
  for (std::int64_t column = 0; column < args.columns; column += kLanes) {
    const TapLanes taps{args, column, 0, 1, args.tap_count};
    Lanes result;
    if (args.reduction == Reduction::kMax) {
      max_of(result, taps);
    } else {
      if (args.reduction == Reduction::kWindow) {
        sum_of(result, taps);
      } else if (column / kEpilogueUnit < args.columns / kEpilogueUnit) {
        cascade_sum_of(result, taps);
      } else {
        interleaved_sum_of(result, args, column);
      }
      result /= args.divisor;
    }
    store_lanes(args.out + column, result, args.columns - column);
  }
}

}  // namespace
}  // namespace mpsearch
