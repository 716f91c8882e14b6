// Checking arrays from Python, for the bindings.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>

#include <cstdint>
#include <string>

#include "errors.hpp"

namespace mpsearch {

namespace nb = nanobind;

using Array = nb::ndarray<>;
using ConstArray = nb::ndarray<nb::ro>;

inline std::string shape_text(const ConstArray& array) {
  std::string text = "(";
  for (std::size_t i = 0; i < array.ndim(); ++i) text += (i ? ", " : "") + std::to_string(array.shape(i));
  return text + ")";
}

// True if the elements follow one another in row-major order; sizes of 1 may have any stride.
template <class A>
bool is_contiguous(const A& array) {
  if (array.size() == 0) return true;
  std::int64_t expected = 1;
  for (std::size_t i = array.ndim(); i-- > 0;) {
    const auto size = static_cast<std::int64_t>(array.shape(i));
    if (size != 1 && array.stride(i) != expected) return false;
    expected *= size;
  }
  return true;
}

// A C-contiguous array of T with `ndim` dimensions on the CPU, or ShapeError.
template <class A, class T>
A as_array(nb::handle object, const char* name, const char* type_name, std::size_t ndim) {
  A array;
  if (object.is_none() || !nb::try_cast<A>(object, array, false)) {
    throw ShapeError("`" + std::string(name) + "` must be a " + type_name +
                     " numpy array or CPU tensor, and writable if it is an output; got " +
                     nb::cast<std::string>(nb::str(object.type())) + ".");
  }
  if (array.device_type() != nb::device::cpu::value || array.dtype() != nb::dtype<T>() ||
      array.ndim() != ndim || !is_contiguous(array)) {
    throw ShapeError("`" + std::string(name) + "` must be " + type_name +
                     ", on the CPU, C-contiguous, with " + std::to_string(ndim) + " dimensions; got shape " +
                     shape_text(ConstArray(array)) + " of " + std::to_string(array.itemsize()) +
                     "-byte elements" + (is_contiguous(array) ? "" : ", not contiguous") + ".");
  }
  return array;
}

}  // namespace mpsearch
