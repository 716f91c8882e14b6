// Ternary weights without the blocks that are all zero.
//
// The panels that a kernel computes in one call form a unit. A block is left out where it is zero in all
// panels of its unit; what remains of a unit is a layer of taps of one block each, so every kernel computes
// it as it is.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "aligned_buffer.hpp"

namespace mpsearch {

struct ZeroBlocks {
  struct Unit {
    std::size_t weights;  // where its first panel begins
    std::size_t first;    // of `blocks`
    std::int64_t count;   // blocks of each panel, at least 1
  };
  std::vector<Unit> units;           // empty: nothing is left out
  std::vector<std::int64_t> blocks;  // by unit: places within a panel of the whole layer, ascending
  AlignedBuffer<std::uint8_t> weights;

  // `weights`: groups x panels x panel_blocks blocks of block_bytes. Empty if a smaller share of the
  // blocks than `least_zero` is zero.
  static ZeroBlocks find(const AlignedBuffer<std::uint8_t>& weights, std::int64_t groups, std::int64_t panels,
                         std::int64_t unit_panels, std::int64_t panel_blocks, std::int64_t block_bytes,
                         double least_zero);
};

}  // namespace mpsearch
