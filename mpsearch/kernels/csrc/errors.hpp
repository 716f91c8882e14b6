// The two errors that leave this extension; module.cpp turns them into those of mpsearch/errors.py.
#pragma once

#include <stdexcept>

namespace mpsearch {

struct ShapeError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct KernelError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

}  // namespace mpsearch
