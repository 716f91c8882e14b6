// The table of implementations, and the choice among them at run time.
//
// To add one: define an Implementation in a file of its own (contract.hpp), list it in implementations.cpp at
// its place, and give the file its flags in CMakeLists.txt. tests/kernels then holds it to the reference.
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
