// The types of numbers that a native pass over a tensor of torch reads and writes.
#pragma once

namespace mpsearch {

enum class Number : int { kFloat32 = 0, kBfloat16 = 1 };

}  // namespace mpsearch
