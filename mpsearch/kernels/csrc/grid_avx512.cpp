// Rounding to a grid for x86 with AVX-512.
#include "grid_lanes.hpp"

namespace mpsearch {

const GridLoops kGridAvx512 = kLoops;

}  // namespace mpsearch
