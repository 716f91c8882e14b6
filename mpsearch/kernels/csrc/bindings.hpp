// The parts of the Python module.
#pragma once

#include <nanobind/nanobind.h>

namespace mpsearch {

void bind_grid(nanobind::module_& module);     // bind_grid.cpp
void bind_layer(nanobind::module_& module);    // bind_layer.cpp
void bind_peak(nanobind::module_& module);     // bind_peak.cpp
void bind_program(nanobind::module_& module);  // bind_program.cpp
void bind_sign(nanobind::module_& module);     // bind_sign.cpp

}  // namespace mpsearch
