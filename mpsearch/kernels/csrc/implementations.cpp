#include "implementations.hpp"

#include "cpu_features.hpp"
#include "errors.hpp"

namespace mpsearch {
namespace {

// Best first.
constexpr const Implementation* kImplementations[] = {
#if defined(__x86_64__)
    &kAvx512,
    &kAvx2,
#elif defined(__aarch64__)
    &kNeonDotprod,
    &kNeon,
#endif
    &kScalar,
};

}  // namespace

std::vector<const Implementation*> available_implementations() {
  std::vector<const Implementation*> available;
  for (const Implementation* implementation : kImplementations) {
    if ((implementation->required & ~cpu_features()) == 0) available.push_back(implementation);
  }
  return available;
}

const Implementation& find_implementation(const std::string& forced_name) {
  const auto available = available_implementations();
  if (forced_name.empty()) return *available.front();
  std::string names;
  for (const Implementation* implementation : available) {
    if (forced_name == implementation->name) return *implementation;
    names += (names.empty() ? "" : ", ") + std::string(implementation->name);
  }
  throw KernelError("MPSEARCH_FORCE_ISA must name an instruction set that this machine has (" + names +
                    "); got '" + forced_name + "'. Unset it to use the best one.");
}

}  // namespace mpsearch
