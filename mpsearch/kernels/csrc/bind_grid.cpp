// Rounding to a grid in training, for mpsearch/quant/uniform_grid.py.
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>

#include <cstdint>
#include <string>

#include "bindings.hpp"
#include "grid_rounding.hpp"

namespace mpsearch {

namespace nb = nanobind;

// Addresses of torch's memory: sixteen-bit floats have no type in numpy, and a view of each tensor as an
// array would cost more than small tensors take.
void bind_grid(nb::module_& module) {
  module.def("round_to_grid", [](std::uintptr_t x, bool x_is_short, std::uintptr_t y, bool y_is_short,
                                 std::size_t count, float scale, float inverse, float low, float high,
                                 int threads, const std::string& forced_isa) {
    const GridLoops& loops = grid_loops(forced_isa);
    const nb::gil_scoped_release release;
    round_to_grid(loops, reinterpret_cast<const void*>(x), static_cast<Number>(x_is_short),
                  reinterpret_cast<void*>(y), static_cast<Number>(y_is_short), count,
                  Grid{scale, inverse, low, high, 0}, threads);
  });
  module.def("round_to_grid_backward", [](std::uintptr_t grad, bool grad_is_short, std::uintptr_t x,
                                          bool x_is_short, std::uintptr_t grad_x, std::size_t count,
                                          float scale, float inverse, float low, float high, float slack,
                                          int threads, const std::string& forced_isa) {
    const GridLoops& loops = grid_loops(forced_isa);
    GridGradients found;
    {
      const nb::gil_scoped_release release;
      found = round_to_grid_backward(loops, reinterpret_cast<const void*>(grad),
                                     static_cast<Number>(grad_is_short), reinterpret_cast<const void*>(x),
                                     static_cast<Number>(x_is_short), reinterpret_cast<void*>(grad_x), count,
                                     Grid{scale, inverse, low, high, slack}, threads);
    }
    return nb::make_tuple(found.scale, found.offset);
  });
  module.def("round_pieces_to_grid", [](std::uintptr_t x, std::uintptr_t y, std::size_t number,
                                        std::size_t count, std::size_t stride, float scale, float inverse,
                                        float low, float high, int threads, const std::string& forced_isa) {
    const GridLoops& loops = grid_loops(forced_isa);
    const nb::gil_scoped_release release;
    round_pieces_to_grid(loops, reinterpret_cast<const float*>(x), reinterpret_cast<float*>(y),
                         Pieces{number, count, stride}, Grid{scale, inverse, low, high, 0}, threads);
  });
  module.def("round_pieces_to_grid_backward", [](std::uintptr_t grad, std::uintptr_t x, std::uintptr_t grad_x,
                                                 std::size_t number, std::size_t count, std::size_t stride,
                                                 float scale, float inverse, float low, float high,
                                                 float slack, int threads, const std::string& forced_isa) {
    const GridLoops& loops = grid_loops(forced_isa);
    GridGradients found;
    {
      const nb::gil_scoped_release release;
      found = round_pieces_to_grid_backward(loops, reinterpret_cast<const float*>(grad),
                                            reinterpret_cast<const float*>(x),
                                            reinterpret_cast<float*>(grad_x), Pieces{number, count, stride},
                                            Grid{scale, inverse, low, high, slack}, threads);
    }
    return nb::make_tuple(found.scale, found.offset);
  });
}

}  // namespace mpsearch
