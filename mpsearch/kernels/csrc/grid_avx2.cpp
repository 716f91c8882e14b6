// Rounding to a grid for x86 with AVX2.
#include "grid_lanes.hpp"

namespace mpsearch {

const GridLoops kGridAvx2 = kLoops;

}  // namespace mpsearch
