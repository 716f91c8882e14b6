// The sign of activations for x86 with AVX2.
#include "sign_lanes.hpp"

namespace mpsearch {

const SignLoops kSignAvx2 = kLoops;

}  // namespace mpsearch
