// The sign of activations for x86 with AVX-512.
#include "sign_lanes.hpp"

namespace mpsearch {

const SignLoops kSignAvx512 = kLoops;

}  // namespace mpsearch
