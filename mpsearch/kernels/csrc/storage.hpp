// Which values share memory, from when each is alive.
#pragma once

#include <cstdint>
#include <vector>

#include "step.hpp"

namespace mpsearch {

struct StoragePlan {
  std::vector<std::int64_t> offset;  // by value, in floats
  std::int64_t size = 0;             // of all, in floats
};

// A value lives from the step that writes it to the last one that reads it; one that no step reads lives on.
// One that dies where it is read in place may give its memory to what is written there.
// counts: floats by value, 0 for those that are another's alias. uses: by step; ids are never aliases.
StoragePlan plan_storage(const std::vector<std::int64_t>& counts, const std::vector<ValueUse>& uses);

}  // namespace mpsearch
