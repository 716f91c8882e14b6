#include "storage.hpp"

#include <algorithm>

#include "rounding.hpp"

namespace mpsearch {
namespace {

constexpr std::int64_t kLineFloats = 16;

struct Slot {
  std::int64_t capacity;
  bool is_free;
  std::size_t freed_at;  // a step; what was touched last may still be in a cache
};

// The slot for `count` floats: the free one that was used last and is large enough, else the largest free
// one, grown, else a new one.
std::size_t take_slot(std::vector<Slot>& slots, std::int64_t count) {
  const Slot* best = nullptr;
  for (const Slot& slot : slots) {
    if (!slot.is_free) continue;
    if (best == nullptr) {
      best = &slot;
      continue;
    }
    const bool fits = slot.capacity >= count;
    const bool best_fits = best->capacity >= count;
    const bool is_better = fits && best_fits ? slot.freed_at > best->freed_at
                                             : fits || (!best_fits && slot.capacity > best->capacity);
    if (is_better) best = &slot;
  }
  if (best == nullptr) {
    slots.push_back({count, false, 0});
    return slots.size() - 1;
  }
  const auto at = static_cast<std::size_t>(best - slots.data());
  slots[at].capacity = std::max(slots[at].capacity, count);
  slots[at].is_free = false;
  return at;
}

bool contains(const std::vector<int>& ids, int id) {
  return std::find(ids.begin(), ids.end(), id) != ids.end();
}

}  // namespace

StoragePlan plan_storage(const std::vector<std::int64_t>& counts, const std::vector<ValueUse>& uses) {
  constexpr std::size_t kNever = ~std::size_t{0};
  std::vector<std::size_t> last_read(counts.size(), kNever);
  for (std::size_t step = 0; step < uses.size(); ++step) {
    for (const int id : uses[step].reads) last_read[static_cast<std::size_t>(id)] = step;
    for (const int id : uses[step].reads_in_place) last_read[static_cast<std::size_t>(id)] = step;
  }

  constexpr std::size_t kNone = ~std::size_t{0};
  std::vector<Slot> slots;
  std::vector<std::size_t> slot_of(counts.size(), kNone);
  for (std::size_t step = 0; step < uses.size(); ++step) {
    const ValueUse& use = uses[step];
    const auto free_if_dead = [&](int id) {
      const std::size_t slot = slot_of[static_cast<std::size_t>(id)];
      if (last_read[static_cast<std::size_t>(id)] == step) slots[slot].is_free = true;
      slots[slot].freed_at = step;
    };
    const auto written = static_cast<std::size_t>(use.writes);
    if (use.writes >= 0) {
      for (const int id : use.reads_in_place) {
        const auto at = static_cast<std::size_t>(id);
        if (slot_of[written] != kNone || last_read[at] != step || contains(use.reads, id)) continue;
        if (counts[at] == counts[written]) slot_of[written] = slot_of[at];
      }
      if (slot_of[written] == kNone) slot_of[written] = take_slot(slots, counts[written]);
    }
    for (const int id : use.reads) free_if_dead(id);
    for (const int id : use.reads_in_place) free_if_dead(id);
    if (use.writes >= 0) slots[slot_of[written]].is_free = false;
  }

  std::vector<std::int64_t> slot_offset;
  StoragePlan plan;
  for (const Slot& slot : slots) {
    slot_offset.push_back(plan.size);
    plan.size += round_up(slot.capacity, kLineFloats);
  }
  for (const std::size_t slot : slot_of) plan.offset.push_back(slot == kNone ? 0 : slot_offset[slot]);
  return plan;
}

}  // namespace mpsearch
