// The table of implementations, and the choice among them at run time.
#pragma once

#include <string>
#include <vector>

#include "contract.hpp"

namespace mpsearch {

// Those that this CPU can run, best first; never empty.
std::vector<const Implementation*> available_implementations();

// The best available implementation, or the one named; throws KernelError if that one cannot run here.
const Implementation& find_implementation(const std::string& forced_name);

}  // namespace mpsearch
