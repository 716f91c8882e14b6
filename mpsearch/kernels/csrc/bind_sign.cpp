// The sign of activations in training, for mpsearch/quant/sign_pass.py.
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>

#include <cstdint>
#include <string>

#include "bindings.hpp"
#include "sign_pass.hpp"

namespace mpsearch {

namespace nb = nanobind;

// Addresses of torch's memory, as in bind_grid.cpp.
void bind_sign(nb::module_& module) {
  module.def("take_signs",
             [](std::uintptr_t x, bool x_is_short, std::uintptr_t y, bool y_is_short, std::size_t pieces,
                std::size_t channels, std::size_t inner, std::size_t stride, std::uintptr_t thresholds,
                float scale, int threads, const std::string& forced_isa) {
               const SignLoops& loops = sign_loops(forced_isa);
               const nb::gil_scoped_release release;
               take_signs(loops, reinterpret_cast<const void*>(x), static_cast<Number>(x_is_short),
                          reinterpret_cast<void*>(y), static_cast<Number>(y_is_short),
                          Channels{pieces, channels, inner, stride},
                          reinterpret_cast<const float*>(thresholds), scale, threads);
             });
  module.def("take_signs_backward",
             [](std::uintptr_t grad, bool grad_is_short, std::uintptr_t x, bool x_is_short,
                std::uintptr_t grad_x, std::size_t pieces, std::size_t channels, std::size_t inner,
                std::size_t stride, std::uintptr_t thresholds, float window, int slope,
                std::uintptr_t by_threshold, int threads, const std::string& forced_isa) {
               const SignLoops& loops = sign_loops(forced_isa);
               const nb::gil_scoped_release release;
               return take_signs_backward(
                   loops, reinterpret_cast<const void*>(grad), static_cast<Number>(grad_is_short),
                   reinterpret_cast<const void*>(x), static_cast<Number>(x_is_short),
                   reinterpret_cast<void*>(grad_x), Channels{pieces, channels, inner, stride},
                   reinterpret_cast<const float*>(thresholds), window, static_cast<Slope>(slope),
                   reinterpret_cast<float*>(by_threshold), threads);
             });
}

}  // namespace mpsearch
