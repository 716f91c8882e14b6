// The sign of activations for every processor.
#include "sign_lanes.hpp"

namespace mpsearch {

const SignLoops kSignScalar = kLoops;

}  // namespace mpsearch
