// The Python module `mpsearch.kernels._native`.
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>

#include <exception>
#include <string>

#include "bindings.hpp"
#include "cpu_features.hpp"
#include "errors.hpp"
#include "implementations.hpp"

namespace nb = nanobind;

namespace mpsearch {
namespace {

nb::tuple names_of_available() {
  nb::list names;
  for (const Implementation* implementation : available_implementations()) names.append(implementation->name);
  return nb::tuple(names);
}

nb::tuple names_of_features() {
  nb::list names;
  for (const std::string& name : cpu_feature_names()) names.append(name);
  return nb::tuple(names);
}

nb::dict build_info() {
  nb::dict info;
#if defined(__clang__)
  info["compiler"] = "clang " __clang_version__;
#else
  info["compiler"] = "gcc " __VERSION__;
#endif
  info["kernel_version"] = kKernelVersion;
  return info;
}

void translate(const std::exception_ptr& pointer, void*) {
  const auto raise = [](const char* name, const char* text) {
    PyErr_SetString(nb::module_::import_("mpsearch.errors").attr(name).ptr(), text);
  };
  try {
    std::rethrow_exception(pointer);
  } catch (const ShapeError& error) {
    raise("ShapeError", error.what());
  } catch (const KernelError& error) {
    raise("KernelError", error.what());
  }
}

}  // namespace

NB_MODULE(_native, module) {
  nb::register_exception_translator(translate);
  module.def("cpu_features", names_of_features);
  module.def("available_isas", names_of_available);
  module.def(
      "selected_isa", [](const std::string& forced_isa) { return find_implementation(forced_isa).name; },
      nb::arg("forced_isa"));
  module.def("build_info", build_info);
  bind_grid(module);
  bind_layer(module);
  bind_program(module);
  bind_peak(module);
  bind_sign(module);
}

}  // namespace mpsearch
