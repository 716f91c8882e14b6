// Rounding to a grid for every processor.
#include "grid_lanes.hpp"

namespace mpsearch {

const GridLoops kGridScalar = kLoops;

}  // namespace mpsearch
