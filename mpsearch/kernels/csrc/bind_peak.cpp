// What the machine can reach, for benchmarks.
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "arrays.hpp"
#include "bindings.hpp"
#include "peak.hpp"

namespace mpsearch {

void bind_peak(nb::module_& module) {
  module.def("peak_sequences", peak_sequences, nb::arg("isa"));
  module.def("peak_macs_per_s", peak_macs_per_s, nb::arg("isa"), nb::arg("sequence"));
  module.def(
      "read_bytes_per_s",
      [](nb::handle object) {
        const auto data = as_array<ConstArray, std::uint8_t>(object, "data", "uint8", 1);
        return read_bytes_per_s(static_cast<const std::uint8_t*>(data.data()), data.size());
      },
      nb::arg("data"));
}

}  // namespace mpsearch
