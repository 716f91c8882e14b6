#include "zero_blocks.hpp"

#include <algorithm>

namespace mpsearch {
namespace {

bool is_zero(const std::uint8_t* bytes, std::int64_t count) {
  return std::all_of(bytes, bytes + count, [](std::uint8_t byte) { return byte == 0; });
}

}  // namespace

ZeroBlocks ZeroBlocks::find(const AlignedBuffer<std::uint8_t>& weights, std::int64_t groups,
                            std::int64_t panels, std::int64_t unit_panels, std::int64_t panel_blocks,
                            std::int64_t block_bytes, double least_zero) {
  ZeroBlocks found;
  std::size_t kept = 0;  // blocks of all panels
  for (std::int64_t group = 0; group < groups; ++group) {
    for (std::int64_t panel = 0; panel < panels; panel += unit_panels) {
      const std::int64_t width = std::min(unit_panels, panels - panel);
      Unit unit{kept * static_cast<std::size_t>(block_bytes), found.blocks.size(), 0};
      for (std::int64_t block = 0; block < panel_blocks; ++block) {
        bool is_needed = block + 1 == panel_blocks && unit.count == 0;  // one remains, even of zeros
        for (std::int64_t i = 0; i < width && !is_needed; ++i) {
          const std::int64_t at = (group * panels + panel + i) * panel_blocks + block;
          is_needed = !is_zero(weights.data() + at * block_bytes, block_bytes);
        }
        if (!is_needed) continue;
        found.blocks.push_back(block);
        ++unit.count;
      }
      kept += static_cast<std::size_t>(width * unit.count);
      found.units.push_back(unit);
    }
  }
  const double all = static_cast<double>(groups * panels * panel_blocks);
  if (static_cast<double>(kept) > (1 - least_zero) * all) return ZeroBlocks{};
  found.weights = AlignedBuffer<std::uint8_t>(kept * static_cast<std::size_t>(block_bytes));
  std::uint8_t* out = found.weights.data();
  const std::int64_t group_units = (panels + unit_panels - 1) / unit_panels;
  for (std::size_t u = 0; u < found.units.size(); ++u) {
    const Unit& unit = found.units[u];
    const std::int64_t first = static_cast<std::int64_t>(u) % group_units * unit_panels;
    const std::int64_t group = static_cast<std::int64_t>(u) / group_units;
    for (std::int64_t panel = first; panel < std::min(first + unit_panels, panels); ++panel) {
      for (std::int64_t i = 0; i < unit.count; ++i, out += block_bytes) {
        const std::int64_t block = found.blocks[unit.first + static_cast<std::size_t>(i)];
        const std::int64_t at = (group * panels + panel) * panel_blocks + block;
        std::copy_n(weights.data() + at * block_bytes, block_bytes, out);
      }
    }
  }
  return found;
}

}  // namespace mpsearch
